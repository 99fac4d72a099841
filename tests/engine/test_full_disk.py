"""A controller whose disk is full: the state stands still, the fleet is looked after."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.store import SqlStore
from controller.core.errors import StoreUnavailable
from controller.core.rollout import Phase
from controller.core.routing import Routing
from tests.engine.conftest import Driver
from tests.engine.fakes import Clock, FakeWorld
from tests.full_disk import fill, make_room, small_disk


class Disk:
    """What a test fills and empties again."""

    def __init__(self, fill: Callable[[], None], empty: Callable[[], None]) -> None:
        self.fill, self.empty = fill, empty


class RefusingStore(SqlStore):
    """Reads, and writes nothing while `full`: as a full disk, on any machine."""

    full = False

    def save(self, *arguments: object, **more: object) -> list[object]:
        self._refuse()
        return super().save(*arguments, **more)

    def add_intent(self, *arguments: object) -> object:
        self._refuse()
        return super().add_intent(*arguments)

    def save_live_evidence(self, *arguments: object) -> None:
        self._refuse()
        super().save_live_evidence(*arguments)

    def _refuse(self) -> None:
        if self.full:
            raise StoreUnavailable("the state cannot be written (database or disk is full)")


class LittleRoomStore(RefusingStore):
    """While `full` there is room for a command, or an event, and for no change that one makes."""

    def save(self, *arguments: object) -> list[object]:
        changes = any(it is not None for it in arguments[1:])
        return super().save(*arguments) if changes else SqlStore.save(self, *arguments)

    def add_intent(self, *arguments: object) -> object:
        return SqlStore.add_intent(self, *arguments)


@pytest.fixture(params=["a store that refuses", "a disk that is full"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SqlStore, Disk]]:
    """A store, and how its disk is filled."""
    if request.param == "a store that refuses":
        store = RefusingStore.in_folder(tmp_path)

        def refuse(full: bool) -> Callable[[], None]:
            return lambda: setattr(store, "full", full)

        yield store, Disk(refuse(True), refuse(False))
        store.close()
        return
    with small_disk(tmp_path) as path:
        real = SqlStore.in_folder(path)
        yield real, Disk(lambda: fill(path), lambda: make_room(path))
        real.close()


@pytest.fixture
async def driver(world: FakeWorld, place: tuple[SqlStore, Disk]) -> AsyncIterator[Driver]:
    driven = await Driver(world, place[0], Clock()).begin()
    await driven.until_settled()
    yield driven
    await driven.loop.close()


@pytest.fixture
def disk(place: tuple[SqlStore, Disk]) -> Disk:
    return place[1]


def phase(driver: Driver) -> Phase:
    assert driver.loop.rollout is not None
    return driver.loop.rollout.phase


def kinds(driver: Driver) -> list[str]:
    return [event.kind for event in driver.store.last_events(100)]


async def a_canary_with_traffic(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: "v2" in str(loop.router_state().routing) and _shares(driver))


def _shares(driver: Driver) -> bool:
    routing = driver.world.routing
    return routing is not None and routing.canary_percent > 0


async def fill_up(driver: Driver, disk: Disk) -> None:
    """The disk, and the log of writes, which may have room for a few commands more."""

    async def insist() -> None:
        for _ in range(100):
            await driver.command("resume")  # of what is not paused: it changes nothing

    disk.fill()
    with pytest.raises(StoreUnavailable):
        await insist()


async def test_nodes_are_started_again_and_traffic_fails_over(driver: Driver, disk: Disk) -> None:
    await a_canary_with_traffic(driver)
    disk.fill()
    before = phase(driver)
    stable = [name for name in driver.world.nodes if name.startswith("v1")]
    driver.world.end(stable[0])
    started = list(driver.world.started)
    for _ in range(5):
        await driver.round()
        driver.clock.pass_seconds(1)
    assert stable[0] in driver.world.started[len(started) :]
    assert phase(driver) in {before, Phase.HOLDING}


async def test_a_canary_that_is_lost_gets_no_traffic_though_the_rollout_stands_still(
    driver: Driver, disk: Disk
) -> None:
    await a_canary_with_traffic(driver)
    disk.fill()
    driver.world.broken.add("v2")
    for name in [name for name in driver.world.nodes if name.startswith("v2")]:
        driver.world.end(name)
    await driver.until(lambda _: not _shares(driver))
    assert not driver.loop.rollout.ended
    await driver.until(lambda loop: "no rollout moves" in str(loop.alarm.text))
    disk.empty()
    await driver.command("rollback", to=None)
    assert phase(driver) is Phase.ROLLED_BACK
    assert "no rollout moves" not in str(driver.loop.alarm.text)
    assert "state.recovered" in kinds(driver)


async def test_a_command_is_refused_while_it_cannot_be_written_down(
    driver: Driver, disk: Disk
) -> None:
    await fill_up(driver, disk)
    disk.empty()
    await driver.round()
    assert (await driver.start()).refusal is None


async def test_a_command_that_was_accepted_is_carried_out_when_the_disk_has_room(
    driver: Driver, disk: Disk
) -> None:
    await a_canary_with_traffic(driver)
    answer = await driver.loop._inbox.add("rollback", {"to": None}, "ann")
    disk.fill()
    await driver.round()
    with pytest.raises(StoreUnavailable, match="accepted, and carried out once"):
        await answer
    assert phase(driver) is not Phase.ROLLED_BACK
    disk.empty()
    await driver.until(lambda loop: loop.rollout.ended)
    assert phase(driver) is Phase.ROLLED_BACK


async def test_a_rollback_moves_traffic_at_once_and_is_carried_out_when_the_disk_has_room(
    driver: Driver, disk: Disk
) -> None:
    await a_canary_with_traffic(driver)
    nodes = set(driver.world.nodes)
    await fill_up(driver, disk)
    for _ in range(2):  # given twice, in fear, it goes back once
        with pytest.raises(StoreUnavailable, match=r"^all traffic is on v1; .*disk is full"):
            await driver.command("rollback", to=None)
    for _ in range(3):
        await driver.round()
        assert driver.world.routing == Routing("v1")
    assert set(driver.world.nodes) == nodes, "the next controller would go on with them"
    assert not driver.loop.rollout.ended
    assert "all traffic on v1" in str(driver.loop.alarm.text)
    disk.empty()
    await driver.until(lambda loop: loop.rollout.ended)
    assert phase(driver) is Phase.ROLLED_BACK
    assert kinds(driver).count("command.rollback") == 1
    assert not driver.store.pending_intents()
    assert driver.loop.fleet.bad == {"v2"}


async def test_a_rollback_after_a_promotion_moves_traffic_to_the_nodes_that_are_still_warm(
    driver: Driver, disk: Disk
) -> None:
    await a_canary_with_traffic(driver)
    await driver.until(lambda _: phase(driver) is Phase.WAITING)
    await driver.command("promote", full=True)
    await driver.until(lambda loop: loop.fleet.stable == "v2")
    await driver.until_settled()
    await fill_up(driver, disk)
    with pytest.raises(StoreUnavailable, match=r"^all traffic is on v1; "):
        await driver.command("rollback", to=None)
    await driver.round()
    assert driver.world.routing == Routing("v1")
    disk.empty()
    await driver.until(lambda loop: loop.fleet.stable == "v1")


async def test_where_no_node_can_take_the_traffic_it_stays_and_that_is_told(
    driver: Driver, disk: Disk
) -> None:
    driver.loop.versions["v3"] = replace(driver.loop.versions["v1"], name="v3")
    await fill_up(driver, disk)
    with pytest.raises(StoreUnavailable, match=r"^traffic stays where it is: no node of v3 is"):
        await driver.command("rollback", to="v3", force=True)
    assert driver.world.routing == Routing("v1")


@pytest.fixture
async def refused(world: FakeWorld, tmp_path: Path) -> AsyncIterator[Driver]:
    driven = await Driver(world, RefusingStore.in_folder(tmp_path), Clock()).begin()
    await driven.until_settled()
    yield driven
    await driven.loop.close()
    driven.store.close()


async def test_a_rollback_to_nowhere_is_refused_also_where_that_cannot_be_written(
    refused: Driver,
) -> None:
    refused.store.full = True
    outcome = await refused.command("rollback", to=None)
    assert "no version to roll back to" in str(outcome.refusal)
    refused.store.full = False
    await refused.round()
    assert "command.refused" not in kinds(refused)
    assert refused.loop.state_problem is None


async def test_an_unwritten_rollback_is_lost_with_its_controller_as_it_said(
    refused: Driver,
) -> None:
    await a_canary_with_traffic(refused)
    refused.store.full = True
    with pytest.raises(StoreUnavailable, match="if it ends before, the next one goes on as before"):
        await refused.command("rollback", to=None)
    refused.store.full = False
    await refused.kill_and_restart()
    await refused.until(lambda _: _shares(refused))
    assert not refused.loop.rollout.ended


async def test_what_is_asked_after_an_unwritten_rollback_is_carried_out_after_it(
    refused: Driver,
) -> None:
    await a_canary_with_traffic(refused)
    refused.store.full = True
    with pytest.raises(StoreUnavailable):
        await refused.command("rollback", to=None)
    refused.store.full = False
    outcome = await refused.start("v3")
    assert outcome.refusal is None
    assert refused.loop.fleet.bad == {"v2"}


@pytest.fixture
async def cramped(world: FakeWorld, tmp_path: Path) -> AsyncIterator[Driver]:
    driven = await Driver(world, LittleRoomStore.in_folder(tmp_path), Clock()).begin()
    await driven.until_settled()
    yield driven
    await driven.loop.close()
    driven.store.close()


async def test_a_rollback_that_is_given_again_meanwhile_goes_back_once(cramped: Driver) -> None:
    loop = cramped.loop
    loop.versions["v0"] = replace(loop.versions["v1"], name="v0")
    await loop._ledger.change(replace(loop.fleet, previous="v0"), None, "ann")
    await a_canary_with_traffic(cramped)
    cramped.store.full = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="accepted, and carried out once"):
            await cramped.command("rollback", to=None)
    cramped.store.full = False
    await cramped.until(lambda _: not cramped.store.pending_intents())
    assert phase(cramped) is Phase.ROLLED_BACK
    assert loop.fleet.stable == "v1"


async def test_a_problem_ends_when_the_change_is_written_and_not_with_an_event(
    cramped: Driver,
) -> None:
    await a_canary_with_traffic(cramped)
    await cramped.loop._inbox.add("rollback", {"to": None}, "ann")
    cramped.store.full = True
    for _ in range(5):
        await cramped.round()
        assert cramped.loop.state_problem is not None
    assert "state.recovered" not in kinds(cramped)
    await cramped.until(lambda loop: "no rollout moves" in str(loop.alarm.text))
    cramped.store.full = False
    await cramped.until(lambda loop: loop.state_problem is None)
    assert kinds(cramped).count("state.recovered") == 1
    assert phase(cramped) is Phase.ROLLED_BACK


async def test_two_who_give_the_same_rollback_get_the_same_answer(cramped: Driver) -> None:
    await a_canary_with_traffic(cramped)
    inbox = cramped.loop._inbox
    answers = [await inbox.add("rollback", {"to": None}, actor) for actor in ("ann", "bob")]
    await cramped.round()
    assert await answers[0] == await answers[1]
    assert (await answers[0]).refusal is None


async def test_a_rollback_after_another_start_is_another_one(cramped: Driver) -> None:
    inbox = cramped.loop._inbox
    await inbox.add("rollback", {"to": None}, "ann")
    await inbox.add("start", {"version": "v2"}, "ann")
    await inbox.add("rollback", {"to": None}, "ann")
    assert len(cramped.store.pending_intents()) == 3


async def test_a_command_that_was_carried_out_before_the_disk_was_full_is_answered_so(
    cramped: Driver,
) -> None:
    await a_canary_with_traffic(cramped)
    inbox, save = cramped.loop._inbox, cramped.store.save

    def save_one(*arguments: object) -> list[object]:
        saved = save(*arguments)
        cramped.store.full = True
        return saved

    cramped.store.save = save_one
    done = await inbox.add("rollback", {"to": None}, "ann")
    not_done = await inbox.add("pause", {}, "ann")
    await cramped.round()
    assert (await done).refusal is None
    with pytest.raises(StoreUnavailable, match="accepted, and carried out once"):
        await not_done
    assert phase(cramped) is Phase.ROLLED_BACK


async def test_an_nginx_that_died_meanwhile_is_started_and_that_is_told_afterwards(
    driver: Driver, disk: Disk
) -> None:
    disk.fill()
    while driver.loop._ledger.problem is None:
        await driver.loop._ledger.tell("node.fenced", "v1-9", "killed: it froze")
    driver.world.router_is_dead = True
    await driver.loop.check_router()
    await driver.round()
    assert not driver.world.router_is_dead
    assert "router.restarted" not in kinds(driver)
    disk.empty()
    await driver.round()
    assert kinds(driver).count("router.restarted") == 1


async def test_what_happened_to_nodes_meanwhile_is_told_afterwards(
    driver: Driver, disk: Disk
) -> None:
    disk.fill()
    stable = next(name for name in driver.world.nodes if name.startswith("v1"))
    while (problem := driver.loop._ledger.problem) is None:
        await driver.loop._ledger.tell("node.fenced", stable, "killed: it froze")
    assert "nodes and traffic are looked after" in problem
    await driver.loop._ledger.tell("node.fenced", "v1-9", "killed: it froze, too")
    disk.empty()
    await driver.round()
    assert driver.loop._ledger.problem is None
    told = [(event.kind, event.subject) for event in driver.store.last_events(100)]
    assert told.count(("node.fenced", "v1-9")) == 1
    assert told[-1][0] == "state.recovered"
