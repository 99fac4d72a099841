"""Failover and failback, flapping nodes and the watch over the backup, by the whole loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.adapters.store import SqlStore
from controller.api.status import status
from controller.core.errors import StoreUnavailable
from controller.core.failover import FailoverRules, Help
from controller.engine.capacity_keeper import LASTS_SECONDS
from controller.engine.records import Event, Served
from tests.engine.conftest import Driver
from tests.engine.fakes import CONFIG, Clock, FakeWorld

RULES = FailoverRules(failback_after_seconds=30, node_seconds_per_second=5.0)


@pytest.fixture
async def driver(world: FakeWorld, store: SqlStore) -> AsyncIterator[Driver]:
    config = replace(CONFIG, failover=RULES)
    driven = await Driver(world, store, Clock(), config).begin()
    driven.loop.keeper.crashes.longest_wait_seconds = 0.0
    await driven.until_settled()
    yield driven
    await driven.loop.close()


def told(driver: Driver, *kinds: str) -> list[Event]:
    """Oldest first."""
    found = [event for event in driver.store.events(limit=1000) if event.kind in kinds]
    return sorted(found, key=lambda event: event.id or 0)


def members(driver: Driver, group: str = "v1") -> list[str]:
    assert driver.world.loaded is not None
    known = driver.world.loaded.group(group)
    return [endpoint.node for endpoint in known.endpoints] if known else []


async def lose_stable(driver: Driver) -> None:
    """Both nodes end, and cannot be started until `slow` lets them."""
    driver.world.slow |= {"v1-1", "v1-2"}
    for name in ("v1-1", "v1-2"):
        driver.world.end(name)
    await driver.until(lambda loop: driver.world.routing.stable == "backup")


async def wait(driver: Driver, seconds: float) -> None:
    for _ in range(3):
        driver.clock.pass_seconds(seconds / 3)
        await driver.round()


async def test_a_fleet_that_comes_up_has_not_failed_over(driver: Driver) -> None:
    assert told(driver, "failover.begun", "failover.ended") == []
    assert driver.loop.failover.counts.failovers == 0
    assert members(driver) == ["v1-1", "v1-2"]


async def test_stable_returns_beside_the_backup_and_is_alone_again_after_a_while(
    driver: Driver,
) -> None:
    await lose_stable(driver)
    driver.world.slow.clear()
    await driver.until(lambda loop: driver.world.routing.stable == "v1")
    await driver.until(lambda loop: len(members(driver)) == 3)
    assert members(driver) == ["backup-v1-1", "v1-1", "v1-2"]
    await driver.until(lambda loop: loop.failover.state.help is Help.NONE)
    await driver.until_settled()
    assert members(driver) == ["v1-1", "v1-2"]
    counts = driver.loop.failover.counts
    assert (counts.failovers, counts.failbacks) == (1, 1)


async def test_its_begin_and_end_are_events_with_cause_and_duration(driver: Driver) -> None:
    await lose_stable(driver)
    driver.world.slow.clear()
    await driver.until(lambda loop: loop.failover.state.help is Help.NONE)
    begun, changed, ended = told(driver, "failover.begun", "failover.changed", "failover.ended")
    assert begun.message == "the backup serves for v1: stable has no ready node"
    assert changed.message == "the backup shares for v1: stable had no ready node"
    assert ended.message.startswith("v1 serves alone after ")
    assert ended.message.endswith("with help: stable has been well for 30 s")
    assert ended.data["seconds"] > 30


async def test_status_tells_what_the_backup_does_and_why_a_node_waits(driver: Driver) -> None:
    await lose_stable(driver)
    shown = status(driver.loop, driver.loop.router_state(), "fake")
    told_of = shown["failover"]
    assert (told_of["help"], told_of["reason"]) == ("serves", "stable has no ready node")
    assert told_of["since"].startswith("2026-11-21T12:00")
    assert told_of["problem"] is None


async def test_the_time_for_which_stable_must_be_well_begins_again_with_the_controller(
    driver: Driver,
) -> None:
    await lose_stable(driver)
    driver.world.slow.clear()
    await driver.until(lambda loop: len(members(driver)) == 3)
    await wait(driver, 20)
    await driver.kill_and_restart()
    await driver.until(lambda loop: all(v.ready for v in loop.observer.views().values()))
    await wait(driver, 20)
    assert driver.loop.failover.state.help is Help.SHARES
    assert "backup-v1-1" in members(driver)
    await driver.until(lambda loop: loop.failover.state.help is Help.NONE)


async def test_a_controller_that_begins_while_the_backup_serves_knows_it(driver: Driver) -> None:
    await lose_stable(driver)
    await driver.kill_and_restart()
    await driver.until(lambda loop: loop.failover.state.help is Help.SERVES)
    assert driver.world.routing.stable == "backup"
    assert driver.loop.failover.counts.failovers == 0


async def serve(driver: Driver, audio_seconds_per_second: float, seconds: int = 60) -> None:
    """So many seconds pass with so much traffic."""
    await driver.loop.observe_traffic()
    driver.clock.pass_seconds(seconds)
    now = driver.clock.now.timestamp()
    driver.world.served += [
        Served(
            "stable", "stable", f"k{n}", 200, (("127.0.0.1:9001", 200),), at=now - n - 0.5,
            audio_seconds=audio_seconds_per_second, model_seconds=0.1, group="v1",
        )
        for n in range(seconds)
    ]  # fmt: skip
    await driver.loop.observe_traffic()
    await driver.round()
    await driver.round()


async def test_the_backup_shares_a_load_for_which_stable_has_too_little_room(
    driver: Driver,
) -> None:
    await serve(driver, 8.0)
    assert members(driver) == ["v1-1", "v1-2"]
    await serve(driver, 9.0)  # above 85 % of twice 5
    assert members(driver) == ["backup-v1-1", "v1-1", "v1-2"]
    assert driver.world.routing.stable == "v1"
    assert driver.loop.alarm.text is None  # users are well
    (begun,) = told(driver, "failover.begun")
    assert begun.message == (
        "the backup shares for v1: stable's load is above 85 % of what its ready nodes can do"
    )


async def test_a_node_that_dies_leaves_too_little_room_for_what_two_carried(
    driver: Driver,
) -> None:
    await serve(driver, 6.0)
    driver.world.slow.add("v1-2")
    driver.world.end("v1-2")
    await driver.until(lambda loop: loop.failover.shares)
    await driver.round()
    assert members(driver) == ["backup-v1-1", "v1-1"]


async def test_a_node_that_falls_again_and_again_is_held_out_and_let_in_again(
    driver: Driver,
) -> None:
    for _ in range(RULES.falls):
        driver.world.end("v1-2")
        await driver.round()
        await driver.until(lambda loop: loop.observer.views()["v1-2"].ready)
    await driver.round()
    assert members(driver) == ["v1-1"]
    shown = status(driver.loop, driver.loop.router_state(), "fake")
    assert shown["failover"]["held_out"] == ["v1-2"]
    assert "fell again and again" in shown["pools"]["stable"]["nodes"][1]["reason"]
    await wait(driver, 70)
    await driver.round()
    assert members(driver) == ["v1-1", "v1-2"]
    assert [(e.kind, e.subject) for e in told(driver, "node.held_out", "node.let_in")] == [
        ("node.held_out", "v1-2"),
        ("node.let_in", "v1-2"),
    ]
    assert driver.loop.failover.counts.held_out == 1


async def test_a_backup_with_other_model_files_is_a_problem_at_once(driver: Driver) -> None:
    driver.world.digests["backup-v1-1"] = "another digest"
    driver.world.end("backup-v1-1")
    for _ in range(4):
        await driver.round()
    problem = str(driver.loop.failover.capacity.problem)
    assert "backup-v1-1 has other model files or options than v1" in problem


async def test_a_backup_too_small_for_the_load_is_told_once_that_lasts_and_when_it_is_over(
    driver: Driver,
) -> None:
    await serve(driver, 6.0)
    problem = "the backup can carry 5.0 of stable's 6.0 audio seconds per second"
    assert driver.loop.failover.capacity.problem == problem
    await serve(driver, 6.0, seconds=int(LASTS_SECONDS) - 5)
    assert told(driver, "backup.problem") == []
    await serve(driver, 6.0, seconds=5)
    (event,) = told(driver, "backup.problem")
    assert event.message == f"the backup could not take over now: {problem}"
    assert driver.loop.alarm.text is None
    await serve(driver, 1.0)
    assert driver.loop.failover.capacity.problem is None
    await serve(driver, 1.0, seconds=int(LASTS_SECONDS))
    assert len(told(driver, "backup.problem")) == 1
    assert len(told(driver, "backup.mended")) == 1


class Disk:
    """Its store's writes fail while it is full."""

    def __init__(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        store = driver.store
        monkeypatch.setattr(store, "save", self._or_fails(store.save))
        monkeypatch.setattr(store, "save_version", self._or_fails(store.save_version))

    def _or_fails(self, write: Callable[..., None]) -> Callable[..., None]:
        def written(*args: Any) -> None:
            if self.is_full:
                raise StoreUnavailable("database or disk is full")
            write(*args)

        return written


async def test_stable_fails_over_and_is_restarted_while_the_store_cannot_write(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(driver, monkeypatch)
    driver.world.slow |= {"v1-1", "v1-2"}
    started = len(driver.world.started)
    for name in ("v1-1", "v1-2"):
        driver.world.end(name)
    for _ in range(3):
        await driver.round()
    assert driver.world.routing.stable == "backup"
    assert {"v1-1", "v1-2"} <= set(driver.world.started[started:])
    disk.is_full = False
    await driver.round()
    await driver.round()
    assert [event.message for event in told(driver, "failover.begun")] == [
        "the backup serves for v1: stable has no ready node"
    ]
    assert driver.loop.failover.counts.failovers == 1
    assert len(told(driver, "fleet.alarm")) == 1


async def test_a_node_whose_digest_cannot_be_written_down_waits_and_the_others_do_not(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(driver, monkeypatch)
    driver.loop.observer.digests.pop("v1")  # as that of a version which was never seen yet
    await driver.round()
    assert not driver.loop.observer.views()["v1-1"].ready
    disk.is_full = False
    await driver.round()
    assert driver.loop.observer.views()["v1-1"].ready


async def test_a_problem_of_the_backup_that_could_not_be_written_down_is_told_once_it_can(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(driver, monkeypatch)
    driver.world.slow.add("backup-v1-1")
    driver.world.end("backup-v1-1")
    for _ in range(3):
        await driver.round()
        driver.clock.pass_seconds(LASTS_SECONDS)
    disk.is_full = False
    await driver.round()
    await driver.round()
    assert len(told(driver, "backup.problem")) == 1
