"""Commands and the API of a running controller: what they refuse, and what they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.prometheus_server import Prometheus, prometheus
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


def test_a_controller_without_a_supervisor_is_killed_by_no_drill(fleet: RunningFleet) -> None:
    refused = fleet.rollout("drill", "run", "kill-controller", check=False)
    assert "supervisor" in refused["error"]
    assert fleet.status() is not None


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


def documented_configuration(fleet: RunningFleet) -> str:
    """As docs/operations.md has it, with this fleet's port, and more eager."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"^```yaml\n(scrape_configs:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    config = found[1].replace("127.0.0.1:8090", f"127.0.0.1:{fleet.api_port}")
    rules = ROOT / "alerts" / "asr-rollout.rules.yml"
    config = config.replace("asr-rollout.rules.yml", str(rules))
    return f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{config}"


def test_a_prometheus_set_up_as_documented_sees_controller_nodes_and_traffic(
    fleet: RunningFleet, tmp_path: Path
) -> None:
    with prometheus(tmp_path, documented_configuration(fleet)) as watcher:
        watcher.until(lambda: len(watcher.query("up == 1")) == 4)  # controller, stable, backup
        assert watcher.query("up == 0") == {}
        watcher.until(lambda: watcher.query("asr_controller_last_tick_timestamp_seconds"))
        ready = watcher.query("sum by (pool) (asr_controller_nodes_ready) > 0")
        assert ready == {("stable",): 2, ("backup",): 1}
        nodes = {("v1-1",): 1, ("v1-2",): 1, ("backup-v1-1",): 1}
        assert watcher.query("sum by (node) (asr_node_ready)") == nodes
        assert fleet.transcribe().status_code == 200
        answered = 'sum(asr_controller_requests_total{pool="stable", outcome="answered"}) > 0'
        watcher.until(lambda: watcher.query(answered))
        watcher.until(lambda: rule_healths(watcher) == {"ok"})
        told = httpx.get(f"{watcher.url}/metrics", trust_env=False).text
    assert re.findall(r"^prometheus_target_scrapes_\w*(?:duplicate|exceeded|out)\w*_total [^0]",
                      told, re.MULTILINE) == []  # fmt: skip


def rule_healths(watcher: Prometheus) -> set[str]:
    groups = (watcher.get("rules") or {"groups": []})["groups"]
    return {rule["health"] for group in groups for rule in group["rules"]}


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
