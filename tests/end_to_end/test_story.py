"""A rollout across real processes: controller, nginx, nodes with real models, real audio."""

from __future__ import annotations

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
