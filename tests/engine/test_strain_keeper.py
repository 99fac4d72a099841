"""The loop ends copies that slow stable down."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.core.plan import Plan, Step
from controller.core.rollout import Phase
from controller.core.shadow.strain import StrainGate
from controller.core.verdict import Outcome
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import as_json

PLAN = Plan(
    name="shadow-first",
    steps=(Step(0, 3600, shadow=20), Step(100)),
    strain_gates=(StrainGate(on_fail="hold"),),
)
ALONE_SECONDS = 0.5


async def users_come(driver: Driver, seconds: float, requests: int = 600) -> None:
    """Of 50 keys; every request takes a little more or less."""
    await driver.loop.observe_traffic()
    driver.world.served += [
        Served("stable", "stable", f"k{n % 50}", 200, (), seconds=seconds * (0.8 + n % 7 / 15),
               audio_seconds=5.0)
        for n in range(requests)
    ]  # fmt: skip
    await driver.loop.observe_traffic()
    await driver.round()


async def listening(driver: Driver) -> Driver:
    """Stable is known alone, then it is copied."""
    await users_come(driver, ALONE_SECONDS)
    await driver.command("start", version="v2", plan=as_json(PLAN))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    return driver


def outcome(driver: Driver) -> Outcome:
    (verdict,) = driver.loop.verdicts(driver.loop.rollout)
    return verdict.verdict


async def test_copies_that_cost_nothing_pass(driver: Driver) -> None:
    await listening(driver)
    await users_come(driver, ALONE_SECONDS)
    assert outcome(driver) is Outcome.PASS
    assert driver.loop.router_state().routing.shadow == "v2"


async def test_copies_that_slow_stable_down_end_at_once_and_stay_ended(driver: Driver) -> None:
    await listening(driver)
    await users_come(driver, 2 * ALONE_SECONDS)
    assert outcome(driver) is Outcome.FAIL
    assert driver.loop.rollout.phase is Phase.WAITING
    assert driver.loop.router_state().routing.shadow is None
    await users_come(driver, ALONE_SECONDS)
    await driver.crash_and_restart()
    await driver.round()
    assert outcome(driver) is Outcome.FAIL
    assert driver.loop.router_state().routing.shadow is None


async def test_what_was_seen_outlives_a_crash(driver: Driver) -> None:
    await listening(driver)
    await users_come(driver, 2 * ALONE_SECONDS, requests=150)
    assert outcome(driver) is Outcome.INCONCLUSIVE
    await driver.crash_and_restart()
    await driver.round()
    await users_come(driver, 2 * ALONE_SECONDS, requests=150)
    assert outcome(driver) is Outcome.FAIL


async def test_others_have_their_turn_while_a_long_log_is_counted(driver: Driver) -> None:
    await users_come(driver, ALONE_SECONDS)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    request = Served("stable", "stable", "k", 200, (), seconds=1.0, audio_seconds=5.0)
    task = asyncio.create_task(others())
    await driver.loop.strain.observe(None, [request] * 5000, driver.loop.router_state().routing)
    task.cancel()
    assert turns >= 20


async def test_requests_of_the_moment_in_which_copies_begin_count_for_nothing(
    driver: Driver,
) -> None:
    await users_come(driver, ALONE_SECONDS)
    await driver.command("start", version="v2", plan=as_json(PLAN))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    late = Served("stable", "stable", "k", 200, (), seconds=9.0, audio_seconds=5.0)
    driver.world.served += [replace(late, key_hash=f"k{n}") for n in range(400)]
    await driver.loop.observe_traffic()
    (verdict,) = driver.loop.strain.verdicts(driver.loop.rollout) or (None,)
    assert verdict is None
