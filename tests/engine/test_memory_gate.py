"""From what nodes tell of their memory to the end of a rollout."""

from __future__ import annotations

from dataclasses import replace

from controller.core.health import NodeMemory
from controller.core.live.gate import Kind, LiveGate
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, as_json

GIB = 2**30
GATES = (LiveGate("memory", Kind.MEMORY),)
WATCHED = replace(PLAN, gates=(), eval_sets=(), live_gates=GATES)


async def holding(driver: Driver) -> None:
    await driver.command("start", version="v2", plan=as_json(WATCHED))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)


async def pass_hours(driver: Driver, hours: int, gib_per_hour: float, device: str = "cpu") -> None:
    """Each minute the canary is looked at once; it may use 24 GiB, and began with 8."""
    for minute in range(60 * hours):
        if driver.loop.rollout.ended:
            return
        held = round((8 + gib_per_hour * minute / 60) * GIB)
        driver.world.memory["v2-1"] = (NodeMemory(device, held, 24 * GIB - held),)
        await driver.loop.observer.probe()
        await driver.loop.observe_traffic()
        driver.clock.pass_seconds(60)
    await driver.round()


def said(driver: Driver) -> tuple[Outcome, str]:
    (verdict,) = driver.loop.verdicts(driver.loop.rollout)
    return verdict.verdict, verdict.reason


async def test_a_canary_whose_gpu_fills_up_is_rolled_back_while_it_still_serves(
    driver: Driver,
) -> None:
    await holding(driver)
    await pass_hours(driver, 6, gib_per_hour=2, device="cuda:0")
    await driver.round()
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert "gate memory failed: v2-1: GPU memory of cuda:0 grows by" in driver.loop.rollout.reason


async def test_a_canary_that_settles_passes_after_hours(driver: Driver) -> None:
    await holding(driver)
    await pass_hours(driver, 1, gib_per_hour=0)
    assert said(driver)[0] is Outcome.INCONCLUSIVE
    await pass_hours(driver, 3, gib_per_hour=0)
    assert said(driver)[0] is Outcome.PASS


async def test_nodes_that_tell_nothing_of_their_memory_are_no_evidence(driver: Driver) -> None:
    await holding(driver)
    await driver.loop.observe_traffic()
    assert said(driver) == (Outcome.INCONCLUSIVE, "no node tells its memory")
