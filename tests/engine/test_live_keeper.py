from __future__ import annotations

from dataclasses import replace

from controller.core.live.gate import Kind, LiveGate
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, as_json

GATES = (LiveGate("success", Kind.SUCCESS), LiveGate("degraded", Kind.DEGRADED))
LIVE = replace(PLAN, gates=(), eval_sets=(), live_gates=GATES)


def served(pool: str, key: str, status: int = 200, **changes: object) -> Served:
    """A canary's failure is rescued by stable, so that the client sees 200."""
    attempts = (("127.0.0.1:9001", status),)
    if pool == "canary" and status >= 500:
        attempts += (("127.0.0.1:9002", 200),)
    return replace(Served(pool, "percent", key, 200, attempts), **changes)


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


async def test_a_canary_as_good_as_stable_goes_on(driver: Driver) -> None:
    await holding(driver)
    await see(driver, users("stable", 900) + users("canary", 100))
    assert not driver.loop.rollout.ended
    assert said(driver) is not Outcome.FAIL


async def test_who_opted_in_and_who_left_is_nobodys_evidence(driver: Driver) -> None:
    await holding(driver)
    opted_in = users("canary", 100, status=503, decided_by="cookie")
    left = users("canary", 100, status=503) and [
        replace(request, status=499) for request in users("canary", 100, status=503)
    ]
    await see(driver, users("stable", 900) + opted_in + left)
    assert said(driver) is Outcome.INCONCLUSIVE


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
