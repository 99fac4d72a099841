"""One drill, from steady state to report: it stops when users suffer, and always restores."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.drill_folder import DrillFolder
from controller.adapters.state_folder import StateFolder
from controller.core.drill.catalogue import drill_named
from controller.core.drill.journal import Journal, Target
from controller.core.drill.measures import Sent
from controller.core.drill.options import DrillOptions
from controller.core.drill.report import Outcome, Report
from controller.core.errors import Refused, RuntimeUnavailable
from controller.drills.breaking import Breaker
from controller.drills.conduct import Conductor
from controller.drills.load import Load
from controller.drills.witness import Witness

ID = "20260101t033000z-freeze-stable"
PREFIX = f"drill-{ID}-"


def a_node(name: str, health: str = "healthy", started_at: str = "then") -> dict[str, Any]:
    url = f"http://127.0.0.1:{name[-1]}"
    return {"name": name, "health": health, "started_at": started_at, "url": url}


STATUS: dict[str, Any] = {
    "runtime": "process",
    "router": {"running": True, "settled": True, "failed_over": False, "generation": 1},
    "pools": {
        "stable": {"nodes": [a_node("v1-1"), a_node("v1-2")]},
        "backup": {"nodes": [a_node("backup-v1-1")]},
    },
    "failover": {"problem": None, "help": "none"},
    "alarm": None,
    "rollout": None,
}


class World:
    """A fleet in memory: a frozen node is seen at once, and started anew by the second look.

    `answer` is what the load's next requests get."""

    def __init__(self) -> None:
        self.status = copy.deepcopy(STATUS)
        self.done: list[str] = []
        self.looks = 0
        self.sent: list[Sent] = []
        self.answer: int | None = 200
        self.after_freezing: Callable[[], None] = lambda: None

    def send(self) -> None:
        now = time.time()
        number = len(self.sent)
        self.sent.append(Sent(f"{PREFIX}{number}", now, now, self.answer, node="v1-2"))

    # -- Faults ---------------------------------------------------------------------------

    def target(self, node: str) -> Target:
        return Target(node, "1-1.0")

    def freeze(self, target: Target) -> None:
        self.done.append("freeze")
        self.status["pools"]["stable"]["nodes"][0] = a_node(target.node, "unhealthy")
        self.after_freezing()

    def thaw(self, _target: Target) -> None:
        self.done.append("thaw")


class SeenWitness(Witness):
    """Looks at the world instead of at a controller; each look finds a request answered."""

    world: World

    async def status(self) -> dict[str, Any] | None:
        self.world.looks += 1
        if "freeze" in self.world.done and self.world.looks > 3:
            self.world.status["pools"]["stable"]["nodes"][0] = a_node("v1-1", started_at="now")
        self.world.send()
        return copy.deepcopy(self.world.status)


class SilentLoad(Load):
    async def run(self) -> None:
        await self._stopped.wait()


async def conducted(
    world: World, folder: Path, stop: str | None = None, calm_seconds: float = 0.01
) -> Report:
    drill, state, drills = drill_named("freeze-stable"), StateFolder(folder), DrillFolder(folder)
    drills.create(ID)
    journal = Journal(ID, drill.name, "ann", "process", "2026-01-01T03:30:00+00:00", 1)
    witness = SeenWitness(state, drill)
    witness.world = world
    load = SilentLoad("http://127.0.0.1:1", [], 1, PREFIX, lambda: None)
    load.sent = world.sent
    options = DrillOptions(steady_seconds=0.01, calm_seconds=calm_seconds)
    breaker = Breaker(drill, world, drills, state, journal)  # type: ignore[arg-type]
    conductor = Conductor(drill, options, breaker, witness, load, PREFIX, "digits", {}, 0.1)
    world.send()
    if stop is not None:
        conductor.stop(stop)
    return await conductor.conduct()


async def test_a_drill_that_nobody_felt_passes_and_restores(tmp_path: Path) -> None:
    world = World()
    report = await conducted(world, tmp_path)
    assert (report.outcome, report.reasons, report.restored) == (Outcome.PASSED, (), True)
    assert world.done == ["freeze", "thaw"]
    assert report.hit == ("v1-1",)
    assert report.numbers.requests == len(world.sent)


async def test_where_requests_fail_already_nothing_is_broken(tmp_path: Path) -> None:
    world = World()
    world.answer = 502
    report = await conducted(world, tmp_path)
    assert report.outcome is Outcome.REFUSED
    assert "before anything was broken: status 502" in report.reasons[0]
    assert world.done == []


async def test_where_the_fleet_is_not_whole_any_more_nothing_is_broken(tmp_path: Path) -> None:
    world = World()
    world.status["alarm"] = "the backup pool has no ready node"
    report = await conducted(world, tmp_path)
    assert (report.outcome, world.done) == (Outcome.REFUSED, [])


async def test_it_stops_at_the_first_request_that_must_not_fail(tmp_path: Path) -> None:
    world = World()
    world.after_freezing = lambda: setattr(world, "answer", 502)
    report = await conducted(world, tmp_path)
    assert report.outcome is Outcome.STOPPED
    assert "of its own requests failed" in report.reasons[0]
    assert world.done == ["freeze", "thaw"]


async def test_users_who_suffer_wait_for_no_calm(tmp_path: Path) -> None:
    world = World()
    world.after_freezing = lambda: setattr(world, "answer", 502)
    report = await conducted(world, tmp_path, calm_seconds=3600)
    assert report.outcome is Outcome.STOPPED
    assert world.done == ["freeze", "thaw"]


async def test_all_is_mended_before_the_calm_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, calm, done_before = World(), Conductor._calm, []

    async def seen(conductor: Conductor, seconds: float) -> None:
        done_before.append(list(world.done))
        await calm(conductor, seconds)

    monkeypatch.setattr(Conductor, "_calm", seen)
    report = await conducted(world, tmp_path)
    assert report.outcome is Outcome.PASSED
    assert done_before == [["freeze", "thaw"]]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the drill wants its fault to end."""
    event, stop = threading.Event(), Breaker.stop

    def seen(breaker: Breaker) -> None:
        stop(breaker)
        event.set()

    monkeypatch.setattr(Breaker, "stop", seen)
    return event


async def test_a_fault_that_is_being_done_is_waited_for_before_it_is_undone(
    tmp_path: Path, stopped: threading.Event
) -> None:
    world, order = World(), []

    def slowly() -> None:
        world.answer = 502
        assert stopped.wait(60)
        time.sleep(0.3)  # in which an undoing that does not wait would overtake it
        order.append("frozen")

    def thaw(_target: Target) -> None:
        order.append("thawed")

    world.after_freezing = slowly
    world.thaw = thaw  # type: ignore[method-assign]
    report = await conducted(world, tmp_path)
    assert (report.outcome, order) == (Outcome.STOPPED, ["frozen", "thawed"])


async def test_a_fault_that_fails_while_it_is_stopped_is_undone(
    tmp_path: Path, stopped: threading.Event
) -> None:
    world = World()

    def broken() -> None:
        world.answer = 502
        assert stopped.wait(60)
        raise PermissionError("not ours")

    world.after_freezing = broken
    report = await conducted(world, tmp_path)
    assert report.outcome is Outcome.STOPPED
    assert world.done == ["freeze", "thaw"]


async def test_what_the_drill_may_not_break_is_asked_again_after_the_steady_state(
    tmp_path: Path,
) -> None:
    world = World()
    world.status["rollout"] = {"id": "r1", "phase": "holding"}
    report = await conducted(world, tmp_path)
    assert (report.outcome, world.done) == (Outcome.REFUSED, [])
    assert "the rollout r1 is under way" in report.reasons[0]


async def test_who_stops_it_gets_everything_restored(tmp_path: Path) -> None:
    world = World()
    report = await conducted(world, tmp_path, stop="by SIGTERM")
    assert report.outcome is Outcome.REFUSED  # it was before anything was broken
    assert "SIGTERM" in report.reasons[0]
    assert world.done == []


async def test_what_cannot_be_injected_is_no_pass(tmp_path: Path) -> None:
    world = World()

    def vanished() -> None:
        raise Refused("v1-1 has ended, or was started anew; nothing was broken")

    world.after_freezing = vanished
    report = await conducted(world, tmp_path)
    assert report.outcome is Outcome.FAILED
    assert "v1-1 has ended" in report.reasons[0]
    assert world.done == ["freeze", "thaw"]


async def test_what_cannot_be_restored_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()

    def broken(_target: Target) -> None:
        raise RuntimeUnavailable("no engine")

    monkeypatch.setattr(world, "thaw", broken)
    report = await conducted(world, tmp_path)
    assert not report.restored
    assert any("could not be mended: no engine" in reason for reason in report.reasons)
    assert len(DrillFolder(tmp_path).journals()) == 1  # the controller tries again
