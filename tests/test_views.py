from controller import views
from controller.api.evaluation_report import report
from controller.core.scoring import Score, UtteranceScore

NODE = {
    "name": "v1-1", "version": "v1", "url": "http://127.0.0.1:9001", "health": "healthy",
    "reason": "", "digest": "d" * 64, "in_flight": 0, "device": "cpu", "started_at": None,
}  # fmt: skip
VERDICT = {
    "gate": "error-rate digits", "verdict": "pass", "stable": 0.0481, "canary": 0.0462,
    "difference": -0.0019, "interval": (-0.0031, -0.0007), "samples": 500, "reason": "",
}  # fmt: skip
ROLLOUT = {
    "id": "v2-1", "version": "v2", "from_version": "v1", "plan": "default", "phase": "waiting",
    "step": 1, "steps": [5, 100], "percent": 5, "reason": "all gates passed",
    "next_action": "`rollout promote` goes on", "verdicts": [VERDICT], "consent": "none",
}  # fmt: skip
STATUS = {
    "service": "asr", "runtime": "process", "alarm": None, "rollout": ROLLOUT,
    "router": {
        "url": "http://127.0.0.1:8080", "percent": {"stable": 95, "canary": 5},
        "failed_over": False,
        "traffic": {"canary_percent_actual": 4.8, "requests": 1000, "warning": None,
                    "opted_in": 7},
    },
    "pools": {"stable": {"version": "v1", "digest": "d" * 64, "nodes": [NODE]}},
}  # fmt: skip


def scored(reference: str, hypothesis: str) -> Score:
    return Score((UtteranceScore("calls", "u0", reference, hypothesis),))


def test_the_status_is_a_tree_of_router_pools_and_rollout() -> None:
    assert views.status(STATUS).splitlines() == [
        "asr (process runtime), router http://127.0.0.1:8080",
        "traffic: stable 95 %, canary 5 % (canary got 4.8 % of 1000 requests)",
        "stable v1 dddddddddddd",
        "  v1-1             healthy  cpu  http://127.0.0.1:9001",
        "rollout v2-1: v1 → v2, plan default, step 1 of 2, 5 %, waiting: all gates passed",
        "  next: `rollout promote` goes on",
        "  error-rate digits        4.81 → 4.62  Δ -0.19 [-0.31, -0.07]  n=500  ✔ pass",
    ]


def test_a_node_that_ends_after_its_last_stream_is_told_below_the_pools() -> None:
    lines = views.status(STATUS | {"leaving": [NODE | {"name": "v2-1", "version": "v2"}]})
    told = lines.splitlines()[4:6]
    assert told[0].startswith("leaving, when their last requests, streams")
    assert told[1].split() == ["v2-1", "v2"]


def test_requests_that_wait_for_a_node_are_told_of_while_there_are_some() -> None:
    waits = {"waiting": 3, "oldest_seconds": 41.6}
    lines = views.status(STATUS | {"spool": waits}).splitlines()
    assert lines[1] == "! requests that wait until a node can serve: 3, the oldest for 42 s"
    nothing = {"waiting": 0, "oldest_seconds": None}
    assert views.status(STATUS | {"spool": nothing}) == views.status(STATUS)


def test_of_a_rollout_that_has_ended_no_share_is_told() -> None:
    ended = ROLLOUT | {"phase": "promoted", "percent": 0.0, "reason": "promoted by ann"}
    assert "step 1 of 2, promoted: promoted by ann" in views.status(STATUS | {"rollout": ended})


def test_an_alarm_stands_before_everything_else() -> None:
    lines = views.status(STATUS | {"alarm": "no node is ready"}).splitlines()
    assert lines[1] == "! no node is ready"


def test_a_baseline_is_told_with_its_share() -> None:
    shares = {"stable": 90.0, "canary": 5.0, "baseline": 5.0}
    router = STATUS["router"] | {"percent": shares}
    lines = views.status(STATUS | {"router": router}).splitlines()
    assert lines[1].startswith("traffic: stable 90 %, canary 5 %, baseline 5 % (canary got 4.8 %")


def test_where_consent_is_required_the_status_says_that_nobody_is_chosen() -> None:
    lines = views.status(STATUS | {"rollout": ROLLOUT | {"consent": "required"}}).splitlines()
    assert lines[2] == (
        "consent required: nobody is chosen at random; rules and http://127.0.0.1:8080/canary "
        "decided 7 requests"
    )
    assert "step 1 of 2, only who opted in, waiting" in lines[5]


def test_without_a_rollout_the_status_says_how_to_begin_one() -> None:
    assert "rollout start VERSION" in views.status(STATUS | {"rollout": None})


def test_an_evaluation_ends_with_the_worst_utterances_in_columns() -> None:
    value = report(["v1"], [scored("请拨打10086", "请拨打1086")])
    assert views.evaluation(value).splitlines()[-3:] == [
        "calls u0: 1 more errors",
        "  reference    请拨打10086",
        "  v1           请拨打10-86",
    ]


def test_the_history_says_who_what_and_why_and_where_to_read_more() -> None:
    item = ROLLOUT | {"actor": "ann", "created_at": "2026-11-21T12:00:00+00:00"}
    line, hint = views.history([item]).splitlines()
    assert line.endswith("waiting      v1 → v2  v2-1  by ann: all gates passed")
    assert "`rollout report ID`" in hint
    assert views.history([]).startswith("no rollout yet")
