"""Whatever a drill broke is mended, also where its process dies in the middle."""

from __future__ import annotations

import datetime
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.adapters import drill_folder
from controller.adapters.drill_folder import DrillFolder
from controller.adapters.process_faults import ProcessFaults
from controller.adapters.state_folder import StateFolder
from controller.adapters.store import SqlStore
from controller.core.drill.catalogue import drill_named
from controller.core.drill.journal import Journal, Step, Target, Undo
from controller.core.drill.options import DrillOptions
from controller.core.drill.report import Outcome
from controller.core.errors import NotFound, Refused
from controller.drills.breaking import Breaker
from controller.drills.keeper import DrillKeeper, Prospect
from controller.drills.parts import faults_for
from tests.drills.dying_drill import ID, STEPS
from tests.drills.node_stand_in import node_stand_in, until_frozen, write_record

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def a_keeper(state_dir: Path, status: dict[str, Any] | None = None) -> DrillKeeper:
    folder = StateFolder(state_dir)
    store = SqlStore.in_folder(state_dir)
    return DrillKeeper(folder, "asr", (), lambda: status or {}, store, lambda: NOON)


def a_target(state_dir: Path) -> Target:
    return faults_for("process", "asr", state_dir).target("v1-1")


def a_journal(*, runtime: str = "process") -> Journal:
    return Journal(ID, "freeze-stable", "ann", runtime, "2026-01-01T03:30:00+00:00", 1)


@pytest.mark.parametrize("step", STEPS)
def test_what_a_killed_drill_has_broken_is_mended(tmp_path: Path, step: str) -> None:
    with node_stand_in(tmp_path) as node:
        command = [sys.executable, "-m", "tests.drills.dying_drill", str(tmp_path), step]
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert until_frozen(node, frozen=step == "frozen")
        keeper = a_keeper(tmp_path)
        keeper.restore()
        assert until_frozen(node, frozen=False)
        assert keeper.drills.journals() == []
        (report,) = keeper.drills.reports()
        ended = Outcome.PASSED if step == "reported" else Outcome.INTERRUPTED
        assert (report.id, report.outcome, report.restored) == (ID, ended, True)


def test_a_drill_that_lives_is_left_alone(tmp_path: Path) -> None:
    keeper = a_keeper(tmp_path)
    keeper.drills.create(ID)
    keeper.drills.write_journal(a_journal())
    with keeper.drills.locked():
        keeper.restore()
        assert keeper.running() == a_journal()
        assert keeper.drills.reports() == []
    assert keeper.running() is None


def test_what_cannot_be_mended_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    keeper = a_keeper(tmp_path)
    keeper.drills.create(ID)
    keeper.drills.write_journal(
        a_journal(runtime="docker").to_undo(Undo.THAW, Target("v1-1", "1234"))
    )
    keeper.restore()
    assert len(keeper.drills.journals()) == 1
    assert keeper.drills.reports() == []


def test_a_full_disk_keeps_no_controller_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = a_keeper(tmp_path)
    keeper.drills.create(ID)
    keeper.drills.write_journal(a_journal())

    def full(_path: Path, _text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(drill_folder, "write_atomically", full)
        keeper.restore()
    assert len(keeper.drills.journals()) == 1
    keeper.restore()
    (report,) = keeper.drills.reports()
    assert report.outcome is Outcome.INTERRUPTED


def test_an_unreadable_journal_is_told_once_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = a_keeper(tmp_path)
    folder = keeper.drills.create(ID)
    (folder / "journal.json").write_text("{}")
    with caplog.at_level(logging.ERROR):
        keeper.restore()
        keeper.restore()
    assert len(caplog.records) == 1
    assert [path.name for path in folder.iterdir()] == ["journal.unreadable.json"]


async def test_a_drill_is_never_taken_for_dead_while_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, popen = a_keeper(tmp_path), subprocess.Popen
    journals_then: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def slow_to_start(_command: list[str], **named: Any) -> subprocess.Popen[bytes]:
        a_keeper(tmp_path).restore()  # the round of this moment, or a new controller's
        journals_then.append(len(keeper.drills.journals()))
        child = popen(["sleep", "60"], **named)
        children.append(child)
        return child

    monkeypatch.setattr("controller.drills.keeper.subprocess.Popen", slow_to_start)
    drill_id = await keeper.start(a_prospect(), "ann")
    a_keeper(tmp_path).restore()  # nor where it has not come to its own code
    assert journals_then == [1]
    (running,) = keeper.drills.journals()
    assert running.id == drill_id
    children[0].kill()
    children[0].wait()
    keeper.restore()
    (report,) = keeper.drills.reports()
    assert (report.id, report.outcome) == (drill_id, Outcome.INTERRUPTED)


async def test_its_process_has_the_lock_of_the_controller_and_any_actor(tmp_path: Path) -> None:
    keeper = a_keeper(tmp_path)
    drill_id = await keeper.start(a_prospect(), "-me")
    assert keeper._child is not None
    keeper._child.wait(60)
    text = (keeper.drills.of(drill_id) / "log").read_text()
    assert "no controller runs on" in text  # as far as it comes here


def a_prospect() -> Prospect:
    return Prospect(drill_named("kill-stable"), DrillOptions(), "process", ("v1-1",), ())


async def test_the_audit_hears_of_each_end_once(tmp_path: Path) -> None:
    keeper = a_keeper(tmp_path)
    keeper.drills.create(ID)
    keeper.drills.write_journal(a_journal())
    await keeper.round()
    await keeper.round()
    kinds = [event.kind for event in keeper.store.last_events(10)]  # type: ignore[attr-defined]
    assert kinds == ["drill.ended"]


async def test_a_refused_drill_says_why_in_the_audit(tmp_path: Path) -> None:
    node = {"name": "v1-1", "version": "v1", "digest": None, "reason": ""}
    pools = {
        "stable": {"version": "v1", "digest": None, "nodes": [node | {"health": "starting"}]},
        "backup": {"nodes": []},
    }
    router = {"running": True, "settled": True, "failed_over": False}
    status = {"runtime": "process", "router": router, "pools": pools, "alarm": None}
    keeper = a_keeper(
        tmp_path, status | {"rollout": None, "failover": {"problem": None, "help": "none"}}
    )
    with pytest.raises(Refused, match="0 of 1 stable nodes are healthy"):
        await keeper.start(await keeper.prospect("kill-stable"), "ann")
    (event,) = keeper.store.last_events(10)  # type: ignore[attr-defined]
    assert (event.kind, event.actor) == ("drill.refused", "ann")
    assert not keeper.drills.path.exists() or keeper.drills.journals() == []


async def test_nothing_is_broken_before_its_undoing_is_on_the_disk(tmp_path: Path) -> None:
    with node_stand_in(tmp_path) as node:
        drills, faults = DrillFolder(tmp_path), faults_for("process", "asr", tmp_path)
        drills.create(ID)
        breaker = Breaker(
            drill_named("freeze-stable"), faults, drills, StateFolder(tmp_path), a_journal()
        )
        target = a_target(tmp_path)
        await breaker.inject([target])
        assert until_frozen(node)
        (on_disk,) = drills.journals()
        assert [(step.undo, step.target) for step in on_disk.steps] == [(Undo.THAW, target)]
        await breaker.restore()
        assert until_frozen(node, frozen=False)


class Wires:
    """What is cut is cut only while its undoing is on the disk."""

    def __init__(self, drills: DrillFolder) -> None:
        self._drills = drills
        self.cut_off: set[str] = set()

    def cut(self, target: Target) -> None:
        (journal,) = self._drills.journals()
        assert Step(Undo.RECONNECT, target) in journal.steps
        self.cut_off.add(target.node)

    def reconnect(self, target: Target) -> None:
        self.cut_off.discard(target.node)


async def test_a_node_that_was_cut_off_is_reconnected(tmp_path: Path) -> None:
    drills = DrillFolder(tmp_path)
    wires = Wires(drills)
    drills.create(ID)
    drill, state = drill_named("network-cut"), StateFolder(tmp_path)
    breaker = Breaker(drill, wires, drills, state, a_journal())  # type: ignore[arg-type]
    await breaker.inject([Target("v1-1", "1234")])
    assert wires.cut_off == {"v1-1"}
    await breaker.restore()
    assert wires.cut_off == set()


# -- only what is certainly ours --------------------------------------------------------------


def test_another_start_of_the_node_is_not_touched(tmp_path: Path) -> None:
    faults = faults_for("process", "asr", tmp_path)
    with node_stand_in(tmp_path) as node:
        earlier = Target("v1-1", "1-1.0")
        with pytest.raises(Refused, match="started anew"):
            faults.kill(earlier)
        node.suspend()
        assert until_frozen(node)
        faults.thaw(earlier)
        assert until_frozen(node)


def test_a_process_that_is_no_node_is_not_touched(tmp_path: Path) -> None:
    faults = faults_for("process", "asr", tmp_path)
    with node_stand_in(tmp_path), subprocess.Popen(["sleep", "60"]) as foreign:
        created = psutil.Process(foreign.pid).create_time()
        write_record(tmp_path, "v1-1", foreign.pid, created)
        with pytest.raises(Refused, match="does not run"):
            faults.target("v1-1")
        with pytest.raises(Refused, match="nothing was broken"):
            faults.kill(Target("v1-1", f"{foreign.pid}-{created}"))
        assert foreign.poll() is None
        foreign.kill()


def test_a_node_that_may_not_write_may_again_afterwards(tmp_path: Path) -> None:
    faults = faults_for("process", "asr", tmp_path)
    assert isinstance(faults, ProcessFaults)
    with node_stand_in(tmp_path) as node:
        before = node.rlimit(psutil.RLIMIT_FSIZE)
        target = a_target(tmp_path)
        faults.forbid_writing(target)
        assert node.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
        faults.allow_writing(target)
        assert node.rlimit(psutil.RLIMIT_FSIZE) == before


# -- the folder -------------------------------------------------------------------------------


def test_a_name_from_outside_is_no_path(tmp_path: Path) -> None:
    for name in ("../../etc", "kill-stable", "20260101t033000z-../x"):
        with pytest.raises(NotFound):
            DrillFolder(tmp_path).report(name)


def test_what_another_version_wrote_stops_nobody(tmp_path: Path) -> None:
    drills = DrillFolder(tmp_path)
    folder = drills.create(ID)
    (folder / "journal.json").write_text(json.dumps({"colour": "red"}))
    (folder / "report.json").write_text(json.dumps({"colour": "red"}))
    assert (drills.journals(), drills.reports(), drills.untold()) == ([], [], [])
    with pytest.raises(Refused, match="another version wrote its report"):
        a_keeper(tmp_path).outcome(ID)
