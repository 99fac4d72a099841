"""kill -9 of the controller at any moment: nginx serves on, and the next one goes on."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.running_fleet import RunningFleet

pytestmark = [pytest.mark.model, pytest.mark.timeout(1200)]


def crash(fleet: RunningFleet) -> None:
    """kill -9, a request without a controller, and the next controller."""
    before = fleet.node_pids()
    fleet.kill_controller()
    assert fleet.transcribe().status_code == 200
    fleet.up()
    after = fleet.node_pids()
    assert before.items() <= after.items(), "a node was started again"


def test_a_rollout_ends_as_it_would_have_when_killed_in_each_phase(fleet: RunningFleet) -> None:
    with fleet.load() as load:
        fleet.start("v2", plan="held")
        fleet.until(lambda: "v2-1" in fleet.node_pids())
        crash(fleet)  # preparing
        fleet.until_phase("holding")
        crash(fleet)  # holding
        fleet.until_phase("holding")
        fleet.rollout("pause")
        crash(fleet)  # paused
        fleet.until_phase("paused")
        fleet.rollout("resume")
        fleet.rollout("promote")
        fleet.until_phase("waiting")
        crash(fleet)  # waiting
        fleet.until_phase("waiting")
        fleet.rollout("promote")
        crash(fleet)  # preparing or holding the last step
        fleet.until_phase("promoted")
        crash(fleet)  # promoted, perhaps while the backup is renewed
        fleet.until_settled()
        status = fleet.status()
        assert status["pools"]["stable"]["version"] == "v2"
        fleet.run("rollback")
        crash(fleet)  # rolled back
        fleet.until_settled()
    assert load.failed == []
    assert fleet.status()["pools"]["stable"]["version"] == "v1"


def test_rollback_with_the_controller_dead_switches_at_once_and_is_finished_later(
    fleet: RunningFleet,
) -> None:
    fleet.start("v3")
    fleet.until_phase("waiting")
    with fleet.load() as load:
        fleet.until(lambda: any(answer.version == "v3" for answer in load.answers))
        fleet.kill_controller()
        done = fleet.run("rollback")
        answered = len(load.answers)
        assert done["controller"] is False
        assert "rollout up" in done["message"]
        fleet.until_without_controller(lambda: len(load.answers) > answered + 20)
        late = [answer for answer in load.answers if answer.began > done_at(load, answered)]
        assert {answer.version for answer in late} == {"v1"}
        fleet.up()
        fleet.until_phase("rolled_back")
        fleet.until_settled()
    assert load.failed == []
    assert "v3-1" not in fleet.node_pids()


def done_at(load: object, answered: int) -> float:
    """When the rollback command had ended: after the answers that were there by then."""
    return max(answer.ended for answer in load.answers[:answered])


def test_what_was_kept_while_nobody_could_serve_is_answered_once_over_the_controllers_death(
    fleet: RunningFleet,
) -> None:
    fleet.until_settled()
    heard = fleet.transcribe().json()["text"]
    places: list[str] = []
    kill_nodes(fleet)
    while len(places) < 8:
        answer = fleet.transcribe(Prefer="respond-async")
        if answer.status_code == 200:  # one is back already
            kill_nodes(fleet)
            continue
        assert answer.status_code == 202, answer.text
        places.append(answer.headers["Location"])
    fleet.kill_controller()
    kill_nodes(fleet)
    for answer in (fleet.get(places[0]), fleet.transcribe(Prefer="respond-async")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    fleet.up()
    for place in places:
        fleet.until(lambda place=place: fleet.get(place).status_code == 200)
    results = [fleet.get(place) for place in places]
    assert [result.json().get("text") for result in results] == [heard] * len(places)
    assert {result.headers["X-ASR-Version"] for result in results} == {"v1"}
    assert len(set(places)) == len(places)
    fleet.until(lambda: {"spool.began", "spool.drained"} <= event_kinds(fleet))
    assert fleet.status()["spool"]["waiting"] == 0
    fleet.until_settled()


def event_kinds(fleet: RunningFleet) -> set[str]:
    return {event["kind"] for event in fleet.rollout("events")}


def kill_nodes(fleet: RunningFleet) -> None:
    for pid in fleet.node_pids().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(folder: Path, number: signal.Signals) -> None:
    alone = RunningFleet(folder, backup_nodes=0)
    alone.up()
    alone.until(lambda: len(alone.node_pids()) == 2)
    assert alone.interrupt_controller(number) == 0
    assert alone.processes() == []


def test_down_stops_what_a_dead_controller_left(folder: Path) -> None:
    alone = RunningFleet(folder, backup_nodes=0)
    alone.up()
    alone.until(lambda: len(alone.node_pids()) == 2)
    alone.kill_controller()
    assert len(alone.processes()) > 2
    alone.down()
    assert alone.processes() == []
