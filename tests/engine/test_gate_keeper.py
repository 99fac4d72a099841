"""What counts against a canary: its own answers, and nothing that befell its nodes or stable's."""

from __future__ import annotations

from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from tests.engine.conftest import Driver


async def judged(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: loop.rollout.phase not in {Phase.PREPARING, Phase.HOLDING})


async def test_recordings_that_only_the_canary_refuses_are_deletions(driver: Driver) -> None:
    driver.world.refuses |= {("v2", f"{n}.ogg") for n in range(40)}
    await judged(driver)
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert driver.loop.rollout.verdicts[0].difference == 0.1


async def test_a_worse_canary_does_not_pass_since_stable_gave_no_text(driver: Driver) -> None:
    driver.world.heard["v2"] = "请拨打一零八六"
    driver.world.refuses |= {("v1", f"{n}.ogg") for n in range(200)}
    await judged(driver)
    assert driver.loop.rollout.phase is Phase.WAITING
    assert driver.loop.rollout.verdicts == ()
    assert "v1 gave no transcript of 200 of 400 recordings of digits (u0" in (
        driver.loop.rollout.reason
    )


async def test_nodes_that_are_too_busy_are_no_verdict_and_may_be_measured_later(
    driver: Driver,
) -> None:
    busy = {"v1-1", "v1-2"}
    driver.world.busy |= busy
    await judged(driver)
    assert "could not be measured" in driver.loop.rollout.reason
    driver.world.busy -= busy
    await driver.command("retry")
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)
    assert [verdict.verdict for verdict in driver.loop.rollout.verdicts] == [Outcome.PASS] * 2
