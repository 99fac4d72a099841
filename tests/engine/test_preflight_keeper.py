from __future__ import annotations

from dataclasses import replace

from controller.core.preflight import LoadCheck
from controller.core.rollout import Phase
from controller.engine.preflight import ROUNDS
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, as_json

CHECK = LoadCheck("digits", clips=8, concurrency=2, max_slowdown=3.0)


async def start(driver: Driver) -> None:
    plan = as_json(replace(PLAN, load_check=CHECK))
    await driver.command("start", version="v2", plan=plan)


async def test_a_version_as_fast_as_the_old_one_gets_its_traffic(driver: Driver) -> None:
    driver.world.seconds |= {"v1": 0.01, "v2": 0.01}
    await start(driver)
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)
    assert driver.loop.rollout.percent == 5
    assert "preflight.passed" in {event.kind for event in driver.store.events()}


async def test_a_version_that_is_much_slower_is_rolled_back_before_any_traffic(
    driver: Driver,
) -> None:
    driver.world.seconds |= {"v1": 0.002, "v2": 0.05}
    await start(driver)
    await driver.until(lambda loop: loop.rollout.ended)
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert "failed its preflight: it is too slow" in driver.loop.rollout.reason
    assert all(routing.canary is None for routing in driver.world.switches)


async def test_the_old_version_is_measured_on_the_backup_which_has_no_traffic(
    driver: Driver,
) -> None:
    await start(driver)
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    measured = driver.world.asked[: 2 * CHECK.clips * (ROUNDS + 1)]  # then come the gates
    nodes = driver.world.nodes
    assert set(measured) == {nodes["backup-v1-1"].address, nodes["v2-1"].address}
