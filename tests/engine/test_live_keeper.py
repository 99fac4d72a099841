from __future__ import annotations

import random
from dataclasses import replace

import pytest

from controller.core.live.gate import Kind, LiveGate
from controller.core.rollout import Phase
from controller.core.routing import Routing
from controller.core.verdict import Outcome
from controller.engine.records import Served
from tests.core.rollouts import a_rollout
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, a_loop, as_json

GATES = (LiveGate("success", Kind.SUCCESS), LiveGate("degraded", Kind.DEGRADED))
LIVE = replace(PLAN, gates=(), eval_sets=(), live_gates=GATES)


def served(pool: str, key: str, status: int = 200, **changes: object) -> Served:
    """A canary's failure is rescued by stable, so that the client sees 200."""
    attempts = (("127.0.0.1:9001", status),)
    if pool == "canary" and status >= 500:
        attempts += (("127.0.0.1:9002", 200),)
    group = "v2" if pool == "canary" else "v1"
    return replace(Served(pool, "percent", key, 200, attempts, group=group), **changes)


def users(pool: str, count: int, status: int = 200, **changes: object) -> list[Served]:
    return [served(pool, f"{pool}-{n % 100}", status, **changes) for n in range(count)]


async def holding(driver: Driver) -> None:
    await driver.command("start", version="v2", plan=as_json(LIVE))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    await driver.loop.observe_traffic()  # the share of 5 % is seen


async def see(driver: Driver, requests: list[Served]) -> None:
    driver.world.served = requests
    await driver.loop.observe_traffic()
    await driver.round()


def said(driver: Driver, gate: str = "success") -> Outcome:
    verdicts = driver.loop.verdicts(driver.loop.rollout)
    return next(verdict.verdict for verdict in verdicts if verdict.gate == gate)


async def test_a_canary_whose_failures_stable_rescues_is_rolled_back(driver: Driver) -> None:
    await holding(driver)
    await see(driver, users("stable", 900) + users("canary", 100, status=503))
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert "gate success failed" in driver.loop.rollout.reason
    assert driver.world.routing.canary is None


async def test_a_persons_word_is_written_down_with_the_live_numbers_of_then(
    driver: Driver,
) -> None:
    await holding(driver)
    for canary_requests in (1, 2, 3):  # by the last, no gate says something else than before
        await see(driver, users("stable", 9) + users("canary", canary_requests))
    await driver.command("promote")
    events = driver.store.rollout_events(driver.loop.rollout.id, 100)
    kinds = [event.kind for event in events]
    judged = events[kinds.index("command.promote") + 1]
    assert (judged.kind, judged.data["step"]) == ("rollout.judged", 0)
    assert judged.data["verdicts"][0]["samples"] == 6


async def test_a_canary_as_good_as_stable_goes_on(driver: Driver) -> None:
    await holding(driver)
    await see(driver, users("stable", 900) + users("canary", 100))
    assert not driver.loop.rollout.ended
    assert said(driver) is not Outcome.FAIL


async def test_who_opted_in_and_who_left_is_nobodys_evidence(driver: Driver) -> None:
    await holding(driver)
    opted_in = users("canary", 100, status=503, decided_by="cookie")
    left = [replace(request, status=499) for request in users("canary", 100, status=503)]
    await see(driver, users("stable", 900) + opted_in + left)
    assert said(driver) is Outcome.INCONCLUSIVE


async def test_clients_that_give_up_on_a_canary_that_hangs_are_its_failures(
    driver: Driver,
) -> None:
    await holding(driver)
    left = [replace(r, status=499, waited_seconds=30.0) for r in users("canary", 100)]
    await see(driver, users("stable", 900) + left)
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK


async def test_what_the_canary_before_left_unanswered_is_not_this_ones_fault(
    driver: Driver,
) -> None:
    await holding(driver)
    late = users("canary", 100, status=504, group="v3")
    await see(driver, users("stable", 900) + late)
    assert said(driver) is Outcome.INCONCLUSIVE


async def test_where_nobody_is_left_on_stable_a_bad_day_is_not_the_canarys_fault(
    driver: Driver,
) -> None:
    await driver.command("start", version="v2", plan=as_json(replace(LIVE, steps=LIVE.steps[-1:])))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING or loop.rollout.ended)
    await see(driver, [])
    await see(driver, users("canary", 500, status=503))
    assert driver.loop.rollout.phase is not Phase.ROLLED_BACK


@pytest.mark.parametrize("seed", range(3))
async def test_a_step_to_a_higher_share_is_no_evidence_against_an_equal_version(
    driver: Driver, seed: int
) -> None:
    """Both versions fail alike; the canary's part of the failures rises with its share."""
    keeper = driver.loop.live
    rollout = a_rollout(plan=LIVE, phase=Phase.HOLDING, reached_percent=5)
    chance = random.Random(seed)
    for share in (5.0, 20.0, 50.0):
        routing = Routing("v1", "v2", share)
        await keeper.observe(rollout, [], routing, (), {}, 0.0)
        for _ in range(30):
            batch = [
                served(pool, f"{pool}-{chance.randrange(2000)}", chance.choice([200] * 29 + [503]))
                for pool in chance.choices(["stable", "canary"], [100 - share, share], k=100)
            ]
            await keeper.observe(rollout, batch, routing, (), {}, 0.0)
    (success, _) = keeper.verdicts(rollout)
    assert success.verdict is not Outcome.FAIL, success.reason


async def test_evidence_of_another_version_of_this_program_is_begun_anew(driver: Driver) -> None:
    await holding(driver)
    await see(driver, users("stable", 90) + users("canary", 10))
    driver.store.save_live_evidence(driver.loop.rollout.id, None, {"tests": {}, "of": "old"})
    await driver.loop.jobs.close()
    driver.loop = a_loop(driver.world, driver.store, driver.clock, driver.config)
    await driver.loop.begin()
    assert driver.loop.rollout is not None


async def test_evidence_outlives_the_controller(driver: Driver) -> None:
    await holding(driver)
    await see(driver, users("stable", 90) + users("canary", 10))
    before = driver.loop.verdicts(driver.loop.rollout)
    await driver.crash_and_restart()
    assert driver.loop.verdicts(driver.loop.rollout) == before
    assert before[0].samples == 10


async def test_a_degraded_canary_is_rolled_back(driver: Driver) -> None:
    await holding(driver)
    driver.world.degraded["v2-1"] = "out of GPU memory: on the CPU now"
    for _ in range(3):
        await driver.loop.observer.probe()
        await see(driver, [])
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert "degraded: v2-1" in driver.loop.rollout.reason
