from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.core.preflight import LoadCheck
from controller.core.rollout import Phase
from controller.engine.preflight import RETRY_SECONDS, ROUNDS
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, as_json

CHECK = LoadCheck("digits", clips=8, concurrency=2, max_slowdown=3.0)


async def start(driver: Driver, **changes: object) -> None:
    plan = as_json(replace(PLAN, load_check=CHECK, **changes))
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


async def test_what_cannot_be_measured_is_tried_again_now_and_then(driver: Driver) -> None:
    driver.world.busy.add("backup-v1-1")
    await start(driver)
    for _ in range(30):  # of a second each
        await driver.round()
        driver.clock.pass_seconds(1)
    assert driver.loop.rollout.phase is Phase.PREPARING
    assert "429" in driver.loop.next_action(driver.loop.rollout)
    assert 4 <= len(driver.world.asked) / CHECK.concurrency <= 30 / RETRY_SECONDS
    driver.world.busy.clear()
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)


async def test_a_preflight_that_never_succeeds_ends_the_rollout_and_says_why(
    driver: Driver,
) -> None:
    driver.world.busy.add("backup-v1-1")
    await start(driver, start_deadline_seconds=20)
    await driver.until(lambda loop: loop.rollout.ended)
    assert "its preflight has not ended" in driver.loop.rollout.reason
    assert "429 the queue is full" in driver.loop.rollout.reason


async def test_a_preflight_may_measure_longer_than_nodes_may_start(driver: Driver) -> None:
    driver.world.seconds |= {"v1": 0.01, "v2": 0.01}
    await start(driver, start_deadline_seconds=60)
    while not driver.world.asked:
        await driver.loop.observer.look()
        await driver.loop.observer.probe()
        await driver.loop.tick()
        await asyncio.sleep(0.01)
    driver.clock.pass_seconds(300)
    await driver.loop.tick()
    assert driver.loop.rollout.phase is Phase.PREPARING
    driver.world.seconds.clear()
    await driver.until(lambda loop: loop.rollout.phase is Phase.WAITING)


async def test_without_a_node_of_the_old_version_a_preflight_waits_for_one(driver: Driver) -> None:
    driver.world.slow.add("v1")
    await start(driver)
    for _ in range(9):
        await driver.round()
    assert "no node of v1 is ready" in driver.loop.next_action(driver.loop.rollout)
