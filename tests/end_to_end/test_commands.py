"""Commands and the API of a running controller: what they refuse, and what they show."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from tests.end_to_end.running_fleet import ROOT, RunningFleet

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


def post(fleet: RunningFleet, path: str, body: object) -> httpx.Response:
    token = fleet.folder_state().token()
    return httpx.post(
        f"http://127.0.0.1:{fleet.api_port}{path}",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "v9"), "no version 'v9'; known are v1, v2, v3"),
        (("start", "v1"), "v1 is stable already"),
        (("start", "v2", "--plan", "nonsense"), "no plan 'nonsense'"),
        (("promote",), "no rollout is under way"),
        (("abort",), "no rollout is under way"),
        (("evaluate", "v1", "--eval-set", "nowhere"), "nowhere"),
        (("versions", "add", "v1", "--model", "iic/SenseVoiceSmall"), "versions never change"),
        (("versions", "add", "stable", "--model", "a/b"), "name of a pool"),
        (("versions", "add", "v4", "--model", "./gone"), "does not exist"),
    ],
)
def test_nonsense_is_refused_in_words(
    fleet: RunningFleet, arguments: tuple[str, ...], said: str
) -> None:
    assert said in fleet.rollout(*arguments, check=False)["error"]
    assert fleet.status()["rollout"] is None


def test_rollback_without_anything_to_go_back_to_is_refused(fleet: RunningFleet) -> None:
    assert "no version to roll back to" in fleet.run("rollback", check=False)["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/rollouts", {"version": "v2", "colour": "red"}),
        ("/api/rollouts", {"version": "v2", "percent": 101}),
        ("/api/rollouts", {"version": "v2", "actor": "a;b"}),
        ("/api/rollouts", {}),
        ("/api/evaluations", {"versions": [], "eval_sets": ["digits"]}),
    ],
)
def test_a_body_that_is_not_as_documented_is_a_problem_document(
    fleet: RunningFleet, path: str, body: object
) -> None:
    answer = post(fleet, path, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nothing was changed" in answer.json()["detail"]


def test_events_come_as_a_stream_from_any_cursor(fleet: RunningFleet) -> None:
    url = f"http://127.0.0.1:{fleet.api_port}/api/events"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=10) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "id: 2"
        assert next(lines).startswith("event: ")


def test_a_version_that_takes_no_traffic_can_be_evaluated(fleet: RunningFleet) -> None:
    result = fleet.rollout("evaluate", "v1", "v2", "--eval-set", "digits")
    assert [item["version"] for item in result["versions"]] == ["v1", "v2"]
    assert all(item["eval_sets"][0]["utterances"] == 200 for item in result["versions"])
    assert {difference["gate"] for difference in result["differences"]} >= {"cer digits"}
    fleet.until(lambda: "v2-1" not in fleet.node_pids())


def test_no_controller_is_exit_status_5(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli", "status", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 5
    assert "rollout up" in done.stderr


def test_wrong_usage_is_exit_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli", "start"], capture_output=True, check=False
    )
    assert done.returncode == 2


def test_the_rollback_command_starts_at_once() -> None:
    """It imports the standard library only: nothing of what makes the others slow."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "controller.rollback", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not imported & {"httpx", "typer", "pydantic", "sqlalchemy", "fastapi", "jinja2"}
