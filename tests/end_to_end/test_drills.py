"""Drills in a real fleet: what they report is what the router logged."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.end_to_end.fault_stories import newly_told
from tests.end_to_end.running_fleet import RunningFleet

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    made = RunningFleet(tmp_path_factory.mktemp("fleet"), supervised=True)
    made.up()
    try:
        made.until_settled()
        yield made
    finally:
        made.down()


def logged(fleet: RunningFleet, prefix: str) -> list[dict[str, Any]]:
    """The lines of the router's log whose request ids begin so."""
    text = (fleet.state_dir / "router" / "access.log").read_text()
    lines = (json.loads(line) for line in text.splitlines())
    return [line for line in lines if line["request_id"].startswith(prefix)]


def drill(fleet: RunningFleet, *arguments: str) -> Any:
    return fleet.rollout("drill", *arguments, check=False)


def test_a_drills_report_agrees_with_the_routers_log_and_with_what_users_felt(
    fleet: RunningFleet,
) -> None:
    assert drill(fleet, "run", "kill-stable", "--dry-run")["objections"] == []
    killed, restarted = fleet.running_nodes()["v1-1"], newly_told(fleet, "node.restarted", "v1-1")
    with fleet.load(clients=2) as users:
        report = drill(fleet, "run", "kill-stable", "--clients", "3")
    numbers, own = report["numbers"], logged(fleet, f"drill-{report['id']}-")
    assert report["hit"] == ["v1-1"], report
    assert fleet.running_nodes()["v1-1"] != killed
    assert numbers["requests"] == numbers["requests_logged"] == len(own) > 0
    tries = [re.split(", | : ", line["upstream_addr"]) for line in own]
    assert numbers["retried"] == sum(len(addresses) > 1 for addresses in tries)
    assert numbers["failed"] == sum(int(line["status"]) != 200 for line in own) == 0, report
    assert users.failed == []
    assert restarted()
    assert 0 < numbers["users_requests"] <= len(users.answers)
    assert numbers["users_failed"] == 0
    assert numbers["recovery_seconds"] > 0
    assert report["outcome"] == "passed" or all("the bound is" in why for why in report["reasons"])
    fleet.until(lambda: "drill.ended" in kinds(fleet, report["id"]))
    assert kinds(fleet, report["id"]) == ["drill.began", "drill.ended"]
    assert drill(fleet, "history")[0] == report


def kinds(fleet: RunningFleet, drill_id: str) -> list[str]:
    return [event["kind"] for event in fleet.rollout("events") if event["subject"] == drill_id]


def test_what_a_killed_drill_froze_is_thawed_by_the_controller(fleet: RunningFleet) -> None:
    fleet.until(lambda: drill(fleet, "run", "freeze-stable", "--dry-run")["objections"] == [])
    frozen = fleet.node_pids()["v1-1"]
    drill_id = begin(fleet, "freeze-stable")
    fleet.until(lambda: is_frozen(frozen))
    os.kill(next(drill_processes(fleet)).pid, signal.SIGKILL)
    fleet.until(lambda: ended(fleet, drill_id))
    (report,) = [r for r in drill(fleet, "history") if r["id"] == drill_id]
    assert report["outcome"] == "interrupted"
    assert not is_frozen(frozen)  # thawed, or fenced before that
    fleet.until_settled()


def begin(fleet: RunningFleet, name: str) -> str:
    """Without waiting for its end."""
    answer = httpx.post(
        f"http://127.0.0.1:{fleet.api_port}/api/drills",
        json={"drill": name, "clients": 1},
        headers={"Authorization": f"Bearer {fleet.folder_state().token()}"},
        trust_env=False,
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(fleet: RunningFleet, drill_id: str) -> bool:
    return any(report["id"] == drill_id for report in drill(fleet, "history"))


def drill_processes(fleet: RunningFleet) -> Iterator[psutil.Process]:
    return (p for p in fleet.processes() if "controller.drills.run" in p.info["cmdline"])


def is_frozen(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def test_a_controller_that_a_drill_kills_is_missed_by_nobody(fleet: RunningFleet) -> None:
    (killed,), nodes = controllers(fleet), fleet.running_nodes()
    with fleet.load(clients=2) as users:
        report = drill(fleet, "run", "kill-controller")
    numbers, own = report["numbers"], logged(fleet, f"drill-{report['id']}-")
    assert numbers["requests"] == numbers["requests_logged"] == len(own) > 0, report
    assert numbers["failed"] == sum(int(line["status"]) != 200 for line in own) == 0, report
    assert users.failed == []
    assert report["outcome"] == "passed" or all("the bound is" in why for why in report["reasons"])
    assert killed not in controllers(fleet)
    assert fleet.running_nodes() == nodes


def controllers(fleet: RunningFleet) -> list[psutil.Process]:
    return [p for p in fleet.processes() if {"controller.cli", "up"} <= {*p.info["cmdline"]}]
