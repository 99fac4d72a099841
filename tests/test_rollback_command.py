"""`rollback` where there is no controller, or not even nginx. With both: tests/end_to_end."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters import routing_switch
from controller.adapters.routing_switch import read_routing, write_routing
from controller.adapters.state_folder import ControllerAddress, StateFolder
from controller.adapters.store import SqlStore
from controller.core.fleet import Fleet
from controller.core.rollout import Phase
from controller.core.routing import Routing
from controller.core.version import Version
from controller.engine.records import Event
from controller.rollback import roll_back
from controller.rollback_alone import roll_back_alone
from tests.core.rollouts import NOON, a_rollout


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """What a killed controller left, while v2 had half of the traffic, the baseline the rest."""
    (tmp_path / "router").mkdir()
    half = Routing("v1", "v2", 50, "r1", baseline="baseline", baseline_percent=50)
    write_routing(tmp_path / "router", half.to_dict())
    return tmp_path


def saved(state_dir: Path, fleet: Fleet, phase: Phase) -> None:
    store = SqlStore.in_folder(state_dir)
    store.save([], fleet, a_rollout(phase=phase, reached_percent=50))
    store.close()


def rollback(state_dir: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "controller.rollback",
            "--state-dir",
            str(state_dir),
            "--json",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    return done.returncode, str(answer.get("error") or answer.get("message"))


def pending(state_dir: Path) -> list[str]:
    store = SqlStore.in_folder(state_dir)
    found = [intent.command for intent in store.pending_intents()]
    store.close()
    return found


def test_without_nginx_it_is_written_down_for_the_next_start(state_dir: Path) -> None:
    saved(state_dir, Fleet("v1"), Phase.HOLDING)
    status, said = rollback(state_dir)
    assert status == 1
    assert "written down" in said
    routing = read_routing(state_dir / "router")
    assert Routing.from_dict(routing) == Routing("v1", salt="r1")
    assert (routing["canary_buckets"], routing["baseline_buckets"]) == (0, 0)
    assert pending(state_dir) == ["rollback"]


def test_given_twice_it_is_written_down_once(state_dir: Path) -> None:
    saved(state_dir, Fleet("v2", previous="v1"), Phase.HOLDING)
    rollback(state_dir)
    rollback(state_dir)
    assert pending(state_dir) == ["rollback"]


def test_after_a_promotion_it_goes_to_the_version_before(state_dir: Path) -> None:
    write_routing(state_dir / "router", Routing("v2").to_dict())
    saved(state_dir, Fleet("v1").promoted("v2", NOON), Phase.PROMOTED)
    rollback(state_dir)
    assert read_routing(state_dir / "router")["stable"] == "v1"


def test_with_nothing_to_go_back_to_it_is_refused_and_nothing_is_changed(state_dir: Path) -> None:
    saved(state_dir, Fleet("v1"), Phase.ABORTED)
    before = read_routing(state_dir / "router")
    status, said = rollback(state_dir)
    assert (status, pending(state_dir)) == (1, [])
    assert "no version to roll back to" in said
    assert read_routing(state_dir / "router") == before


def test_a_version_that_never_was_stable_asks_for_force(state_dir: Path) -> None:
    saved(state_dir, Fleet("v1"), Phase.ABORTED)
    store = SqlStore.in_folder(state_dir)
    store.save_version(
        Version("v3", model="m"), None, Event("version.added", "v3", "added", "ann", NOON)
    )
    store.close()
    status, said = rollback(state_dir, "--to", "v3")
    assert (status, pending(state_dir)) == (1, [])
    assert "never stable here" in said
    rollback(state_dir, "--to", "v3", "--force")
    assert read_routing(state_dir / "router")["stable"] == "v3"


def test_a_folder_without_a_state_is_refused(tmp_path: Path) -> None:
    status, said = rollback(tmp_path / "nowhere")
    assert status == 1
    assert "--state-dir" in said


@pytest.fixture
def frozen(state_dir: Path) -> Iterator[StateFolder]:
    """The folder of a controller that holds its lock, and takes connections as the kernel does
    for a stopped process, and answers none."""
    folder = StateFolder(state_dir)
    folder.lock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        folder.write_address(ControllerAddress(url, 4711, "fleet.yaml", "process"))
        yield folder
    folder.unlock()


def test_of_a_frozen_controller_it_says_where_traffic_goes_and_what_to_do(
    frozen: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = {"routing": Routing("v1", "v2", 50).to_dict()}
    monkeypatch.setattr(routing_switch, "inspect", lambda _: half)
    with pytest.raises(TimeoutError) as said:
        roll_back(frozen.path, {"to": None, "force": False}, patience_seconds=0.2)
    assert "(process 4711) has not answered for 0.2 s" in str(said.value)
    assert "nginx sends 50 % of the traffic to v2, the rest to v1" in str(said.value)
    assert "`kill -9 4711`, which costs no traffic, then run `rollback` again" in str(said.value)


def test_with_nginx_silent_too_it_says_so(frozen: StateFolder) -> None:
    with pytest.raises(TimeoutError, match="nor does nginx say where traffic goes"):
        roll_back(frozen.path, {"to": None, "force": False}, patience_seconds=0.2)


def test_a_controller_that_is_silent_is_unreachable_to_programs(frozen: StateFolder) -> None:
    status, said = rollback(frozen.path)
    assert (status, said.startswith("the controller (process 4711)")) == (5, True)


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_traffic_moves_though_the_routing_cannot_be_written_down(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(state_dir, Fleet("v1"), Phase.HOLDING)
    switched: list[dict[str, object]] = []
    monkeypatch.setattr(routing_switch, "write_routing", refuse)
    monkeypatch.setattr(routing_switch, "serving", lambda *_: True)
    monkeypatch.setattr(routing_switch, "switch", lambda _, value: switched.append(value))
    said = roll_back_alone(StateFolder(state_dir), {"to": None, "force": False}, "ann")
    assert [routing["canary"] for routing in switched] == [None]
    assert "all traffic is on v1" in said
    assert "A restart of nginx would undo it" in said
    assert "No space left" in said


def test_a_backup_that_serves_for_stable_is_not_told_as_a_version(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(state_dir, Fleet("v1"), Phase.HOLDING)
    write_routing(state_dir / "router", Routing("backup", canary="v2").to_dict())
    monkeypatch.setattr(routing_switch, "serving", lambda *_: True)
    monkeypatch.setattr(routing_switch, "switch", lambda *_: None)
    said = roll_back_alone(StateFolder(state_dir), {"to": None, "force": False}, "ann")
    assert "all traffic is on the backup, which serves for stable" in said


def test_a_state_that_cannot_be_read_keeps_nobody_from_leaving_a_canary(state_dir: Path) -> None:
    (state_dir / "state.db").write_text("damaged" * 1000)
    status, said = rollback(state_dir)
    assert status == 1
    assert "nginx does not answer" in said  # it tried
    assert "Nor is the rollback written down" in said


def test_a_state_that_cannot_be_read_names_no_version_to_go_back_to(state_dir: Path) -> None:
    (state_dir / "state.db").write_text("damaged" * 1000)
    write_routing(state_dir / "router", Routing("v2").to_dict())
    status, said = rollback(state_dir)
    assert status == 1
    assert "the state cannot be read (file is not a database); nothing was changed" in said
