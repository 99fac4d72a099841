"""A rollout across real processes: controller, nginx, nodes with real models, real audio."""

from __future__ import annotations

import time

import httpx
import pytest

from controller.adapters.routing_switch import read_routing
from tests.end_to_end.running_fleet import RunningFleet
from tests.end_to_end.stories import promotion_a_killed_node_and_rollback

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


def test_promotion_a_killed_node_and_rollback_lose_no_request(fleet: RunningFleet) -> None:
    promotion_a_killed_node_and_rollback(fleet)


def test_a_version_that_was_rolled_back_asks_for_force(fleet: RunningFleet) -> None:
    refused = fleet.rollout("start", "v2", check=False)
    assert "--force" in refused["error"]


def test_a_cookie_opts_in_and_out_while_a_rollout_runs(fleet: RunningFleet) -> None:
    fleet.start("v3")
    fleet.until_phase("waiting")
    fleet.until(lambda: (fleet.status() or {})["router"]["percent"]["canary"] == 50)
    assert fleet.transcribe(Cookie="ABTEST_v3=1").headers["x-asr-version"] == "v3"
    assert fleet.transcribe(Cookie="ABTEST_v3=0").headers["x-asr-version"] == "v1"
    fleet.rollout("abort")
    assert fleet.transcribe(Cookie="ABTEST_v3=1").headers["x-asr-version"] == "v1"
    fleet.until_settled()


def test_a_canary_that_is_still_loading_is_given_up_by_rollback(fleet: RunningFleet) -> None:
    fleet.rollout("start", "v3", "--plan", str(fleet.folder / "quick.yaml"), "--force", check=False)
    fleet.until(lambda: "v3-1" in fleet.node_pids())
    fleet.run("rollback")
    assert fleet.status()["router"]["percent"] == {"stable": 100, "canary": 0}
    fleet.until_settled()
    assert "v3-1" not in fleet.node_pids()


LISTENING = """
steps: [{percent: 0, shadow: 100, hold: 1h}, {percent: 100}]
gates: [{kind: disagreement, on_fail: hold}]
"""


def test_a_version_that_only_listens_is_compared_and_answers_nobody(fleet: RunningFleet) -> None:
    (fleet.folder / "listening.yaml").write_text(LISTENING)
    plan = str(fleet.folder / "listening.yaml")
    fleet.rollout("start", "v3", "--plan", plan, "--force")
    fleet.until_phase("holding")
    with fleet.load() as load:
        fleet.until(lambda: fleet.status()["rollout"]["copies"]["pairs"] >= 5)
        fleet.kill_controller()
        assert fleet.run("rollback")["controller"] is False
        assert read_routing(fleet.folder_state().router_dir)["shadow"] is None
        fleet.up()
        fleet.until_phase("rolled_back")
    assert load.failed == []
    assert {answer.version for answer in load.answers} == {"v1"}
    rollout = fleet.status()["rollout"]
    fleet.until(lambda: fleet.status()["rollout"]["copies"] is not None)
    (verdict,) = rollout["verdicts"]
    assert (verdict["gate"], verdict["verdict"]) == ("disagreement overall", "inconclusive")
    fleet.until_settled()


COMPARED = """
steps: [{percent: 50, hold: 1h}, {percent: 100}]
baseline: true
gates: [{kind: success}]
"""


def test_fresh_old_nodes_beside_the_canary_may_die_and_end_with_the_rollout(
    fleet: RunningFleet,
) -> None:
    (fleet.folder / "compared.yaml").write_text(COMPARED)
    fleet.rollout("start", "v3", "--plan", str(fleet.folder / "compared.yaml"), "--force")
    fleet.until_phase("holding")
    fleet.until_settled()
    (baseline,) = [node["name"] for node in fleet.status()["pools"]["baseline"]["nodes"]]
    shares = {"stable": 0, "canary": 50, "baseline": 50}
    assert fleet.status()["router"]["percent"] == shares
    with fleet.load() as load:
        fleet.until(lambda: {"v3-1", baseline} <= {answer.node for answer in load.answers})
        killed = fleet.running_nodes()[baseline]
        fleet.kill_node(baseline)
        fleet.until(lambda: fleet.running_nodes().get(baseline, killed) != killed)
        fleet.until_settled()
        assert fleet.status()["router"]["percent"] == shares
        fleet.kill_controller()
        assert fleet.run("rollback")["controller"] is False
        rolled_back_at = time.time()
        fleet.until_without_controller(
            lambda: sum(answer.began > rolled_back_at for answer in load.answers) > 20
        )
        fleet.up()
        fleet.until_phase("rolled_back")
    assert load.failed == []
    assert {a.version for a in load.answers if a.node == baseline} == {"v1"}
    assert {a.node for a in load.answers if a.began > rolled_back_at} <= {"v1-1", "v1-2"}
    (verdict,) = fleet.status()["rollout"]["verdicts"]
    assert verdict["reason"].endswith("; compared with the baseline: fresh nodes of v1")
    fleet.until_settled()
    assert baseline not in fleet.running_nodes()


def test_the_status_has_what_other_tools_rely_on(fleet: RunningFleet) -> None:
    status = fleet.rollout("status")
    assert {"url", "generation", "percent"} <= status["router"].keys()
    assert {"stable", "canary", "backup"} <= status["pools"].keys()
    node = status["pools"]["stable"]["nodes"][0]
    assert {"name", "url", "health", "device", "started_at"} <= node.keys()
    assert {"id", "version", "plan", "phase", "step", "percent", "reason", "next_action",
            "verdicts"} <= status["rollout"].keys()  # fmt: skip


def test_a_command_without_the_token_is_refused(fleet: RunningFleet) -> None:
    url = f"http://127.0.0.1:{fleet.api_port}/api/rollback"
    answer = httpx.post(url, json={}, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_site_s_name_for_loopback_is_refused(fleet: RunningFleet) -> None:
    url = f"http://127.0.0.1:{fleet.api_port}/api/status"
    answer = httpx.get(url, headers={"Host": "evil.example"}, trust_env=False)
    assert answer.status_code == 403


def test_the_page_shows_the_state(fleet: RunningFleet) -> None:
    page = httpx.get(f"http://127.0.0.1:{fleet.api_port}/", trust_env=False)
    assert "v1 serves all traffic" in page.text


def test_a_second_controller_on_the_folder_is_refused(fleet: RunningFleet) -> None:
    arguments = ["up", "--fleet", str(fleet.folder / "fleet.yaml")]
    assert fleet.run("rollout", *arguments, check=False, as_json=False) == 1
    assert fleet.status() is not None
