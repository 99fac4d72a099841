from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from controller.adapters.store import SqlStore
from controller.core.golden import GoldenCheck
from controller.core.rollout import Phase
from tests.engine.conftest import Driver
from tests.engine.fakes import CONFIG, Clock, FakeWorld

GIBBERISH = "啊啊啊"


@pytest.fixture
async def driver(world: FakeWorld, store: SqlStore) -> AsyncIterator[Driver]:
    """With golden clips that are heard again all the time."""
    check = GoldenCheck("digits", clips=2, interval_seconds=1)
    driven = await Driver(world, store, Clock(), replace(CONFIG, golden=check)).begin()
    yield driven
    await driven.loop.close()


def served_by(driver: Driver, version: str) -> set[str]:
    group = driver.world.loaded.group(version)
    return {endpoint.node for endpoint in group.endpoints} if group else set()


async def heard_again(driver: Driver, name: str) -> None:
    """The clips are due for a node at once, not in a second."""
    golden = driver.loop.observer._golden
    golden._due.pop(driver.loop.observer.nodes[name].instance)
    await driver.round()


async def test_a_node_that_hears_wrong_from_the_beginning_gets_no_traffic(driver: Driver) -> None:
    driver.world.heard["v1-2"] = GIBBERISH
    await driver.until(lambda loop: bool(loop.observer.defect("v1")))
    await driver.round()
    assert served_by(driver, "v1") == {"v1-1"}
    assert "hears golden clips wrong" in str(driver.loop.observer.defect("v1"))


async def test_a_canary_that_hears_gibberish_is_rolled_back_before_it_gets_traffic(
    driver: Driver,
) -> None:
    await driver.until_settled()
    driver.world.heard["v2"] = GIBBERISH
    await driver.start("v2")
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.ended)
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert "v2-1: it hears golden clips wrong" in driver.loop.rollout.reason
    assert all(routing.canary is None for routing in driver.world.switches)


async def test_a_node_that_begins_to_hear_wrong_loses_its_traffic(driver: Driver) -> None:
    await driver.until_settled()
    driver.world.heard["v1-2"] = GIBBERISH
    await heard_again(driver, "v1-2")
    await driver.round()
    assert served_by(driver, "v1") == {"v1-1"}


async def test_it_is_started_anew_since_others_hear_the_same_clip_right(driver: Driver) -> None:
    await driver.until_settled()
    before = driver.world.nodes["v1-2"].instance
    driver.world.heard["v1-2"] = GIBBERISH
    await heard_again(driver, "v1-2")
    await driver.round()  # the others are asked
    await driver.until(lambda loop: driver.world.nodes["v1-2"].instance != before)
    [fenced] = [e for e in driver.store.events(limit=100) if e.kind == "node.fenced"]
    assert "hears golden clips wrong" in fenced.message
    driver.world.heard.clear()
    await driver.until_settled()
    assert served_by(driver, "v1") == {"v1-1", "v1-2"}


async def test_one_that_hears_wrong_from_its_beginning_is_not_started_again_and_again(
    driver: Driver,
) -> None:
    driver.world.heard["v1-2"] = GIBBERISH
    await driver.until(lambda loop: bool(loop.observer.defect("v1")))
    for _ in range(3):
        await heard_again(driver, "v1-2")
    assert driver.world.killed == []


async def test_a_clip_that_all_nodes_hear_wrong_takes_nobody_out(driver: Driver) -> None:
    await driver.until_settled()
    driver.world.heard["v1"] = GIBBERISH
    for name in ("v1-1", "v1-2", "backup-v1-1"):
        await heard_again(driver, name)
    await driver.round()
    assert {"v1-1", "v1-2"} <= served_by(driver, "v1")  # the backup helps for a while
    assert driver.world.killed == []


async def test_a_node_that_is_only_busy_has_not_heard_wrong(driver: Driver) -> None:
    await driver.until_settled()
    driver.world.busy.add("v1-2")
    await heard_again(driver, "v1-2")
    await driver.round()
    assert served_by(driver, "v1") == {"v1-1", "v1-2"}


async def test_a_restart_of_the_controller_moves_no_traffic(driver: Driver) -> None:
    await driver.until_settled()
    generation = driver.world.generation
    await driver.crash_and_restart()
    await driver.until_settled()
    assert driver.world.generation == generation
