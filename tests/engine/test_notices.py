"""What people are told: what happened, on which numbers, what to do next, in their language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.notification import Language, Topic
from controller.core.plan import Step
from controller.core.rollout import Phase, Rollout
from controller.core.verdict import Outcome
from controller.engine.audit import rollout_events
from controller.engine.notices import Notice, joined, notice
from controller.engine.records import Event
from controller.engine.traffic import Traffic
from tests.core.rollouts import NOON, a_rollout, a_verdict

HOLDING = a_rollout(phase=Phase.HOLDING, reached_percent=5.0)


def told(before: Rollout | None, after: Rollout, language: Language = "en") -> list[Notice]:
    events = rollout_events(before, after, (), Traffic(lambda _: None), "ann", NOON)
    return [n for n in (notice(event, language) for event in events) if n is not None]


@pytest.mark.parametrize(
    ("before", "phase", "topic"),
    [
        (None, Phase.PREPARING, Topic.START),
        (Phase.PREPARING, Phase.HOLDING, Topic.STEP),
        (Phase.HOLDING, Phase.WAITING, Topic.STEP),
        (Phase.HOLDING, Phase.PAUSED, Topic.STEP),
        (Phase.PAUSED, Phase.PREPARING, Topic.STEP),
        (Phase.HOLDING, Phase.PROMOTED, Topic.PROMOTION),
        (Phase.HOLDING, Phase.ROLLED_BACK, Topic.ROLLBACK),
        (Phase.WAITING, Phase.ABORTED, Topic.ROLLBACK),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_change_of_a_rollout_has_a_topic_and_says_what_to_do(
    before: Phase | None, phase: Phase, topic: Topic, language: Language
) -> None:
    earlier = replace(HOLDING, phase=before) if before is not None else None
    (found,) = told(earlier, replace(HOLDING, phase=phase, reason="because"), language)
    assert found.topic is topic
    assert "v2" in found.title
    assert "because" in found.body
    assert found.body.splitlines()[1]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "v2 serves nobody, and gets copies of 20 % of the requests (step 1 of 2)"),
        ("zh", "v2 已接 20% 请求的副本（不回答任何人）（第 1 步，共 2 步）"),
    ],
)
def test_a_step_that_only_copies_is_told_as_what_it_is(language: Language, title: str) -> None:
    plan = replace(HOLDING.plan, steps=(Step(0, 60, shadow=20), Step(100)))
    listening = replace(HOLDING, plan=plan, reached_percent=0.0, reached_shadow=20.0)
    preparing = replace(listening, phase=Phase.PREPARING)
    (found,) = told(preparing, listening, language)
    assert found.title == title


def test_a_step_is_told_once_when_its_traffic_flows() -> None:
    assert told(HOLDING, replace(HOLDING, phase=Phase.PREPARING, step=1)) == []


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "v2 serves those who opted in (step 1 of 3)"),
        ("zh", "v2 已接自愿参加者的流量（第 1 步，共 3 步）"),
    ],
)
def test_where_consent_is_required_no_percentage_is_claimed(language: Language, title: str) -> None:
    asking = replace(HOLDING, plan=replace(HOLDING.plan, consent="required"))
    (found,) = told(replace(asking, phase=Phase.PREPARING), asking, language)
    assert found.title == title


def test_who_must_decide_reads_how() -> None:
    (found,) = told(HOLDING, replace(HOLDING, phase=Phase.WAITING))
    assert found.title == "v2 waits for you, serving 5 % of the traffic (step 1 of 3)"
    assert "`rollout promote`" in found.body
    assert "`rollout report r1`" in found.body


@pytest.mark.parametrize(
    ("language", "title", "line"),
    [
        (
            "en",
            "Gates of v2: 0 passed, 1 failed, 0 undecided",
            "error-rate digits: FAIL. 2.00 % → 1.00 %, Δ -1.00 [-2.00, +0.00], n=200",
        ),
        (
            "zh",
            "v2 的门禁：0 项通过，1 项没过，0 项说不准",
            "error-rate digits：没过。2.00 % → 1.00 %, Δ -1.00 [-2.00, +0.00], n=200",
        ),
    ],
)
def test_a_verdict_is_told_with_its_numbers(language: Language, title: str, line: str) -> None:
    judged = replace(HOLDING, verdicts=(a_verdict(Outcome.FAIL),))
    (found,) = told(HOLDING, judged, language)
    assert (found.topic, found.title, found.urgent) == (Topic.VERDICT, title, True)
    assert found.body.splitlines()[0] == line


def test_live_traffic_that_is_too_little_to_tell_is_no_news() -> None:
    undecided = replace(a_verdict(Outcome.INCONCLUSIVE), gate="success", keys=3)
    assert told(HOLDING, replace(HOLDING, verdicts=(undecided,))) == []
    degraded = replace(undecided, verdict=Outcome.FAIL, interval=(0.5, 0.5), reason="v2-1 is")
    (found,) = told(HOLDING, replace(HOLDING, verdicts=(degraded,)))
    assert found.body.splitlines()[0] == "success: FAIL. v2-1 is"


def test_numbers_that_moved_before_a_step_ended_are_no_news() -> None:
    judged = replace(HOLDING, verdicts=(a_verdict(),))
    moved = replace(a_verdict(), samples=999)
    traffic = Traffic(lambda _: None)
    events = rollout_events(
        judged, replace(HOLDING, phase=Phase.WAITING, verdicts=(moved,)), (a_verdict(),),
        traffic, "controller", NOON,
    )  # fmt: skip
    found = [notice(event, "en") for event in events]
    assert [n.topic for n in found if n is not None] == [Topic.STEP]


def test_a_gate_without_numbers_says_why() -> None:
    verdict = a_verdict(Outcome.INCONCLUSIVE)
    judged = replace(HOLDING, verdicts=(replace(verdict, interval=(float("nan"), 0.0)),))
    (found,) = told(HOLDING, judged)
    assert found.body.splitlines()[0] == "error-rate digits: undecided. measured"


def test_an_alarm_its_end_and_a_drill_are_told() -> None:
    def event(kind: str) -> Event:
        return Event(kind, "fleet", "no node is ready", "controller", NOON)

    alarm = notice(event("fleet.alarm"), "en")
    assert (alarm.topic, alarm.urgent) == (Topic.FAILOVER, True)
    assert notice(event("fleet.recovered"), "zh").title == "已恢复：各个池都正常"
    assert notice(event("drill.began"), "en").topic is Topic.DRILL


def test_a_node_that_has_failed_is_told_by_name_and_its_log_stays_where_it_is() -> None:
    failed = notice(Event("node.failed", "v1-1", "out of memory", "controller", NOON), "en")
    assert failed.title == "Node v1-1 ends again and again"
    assert "out of memory" not in failed.text
    recovered = notice(Event("node.recovered", "v1-1", "healthy", "controller", NOON), "zh")
    assert recovered.title == "节点 v1-1 已恢复"


@pytest.mark.parametrize(
    ("outcome", "urgent"), [("passed", False), ("refused", False), ("failed", True)]
)
def test_a_drill_that_failed_is_urgent(outcome: str, urgent: bool) -> None:
    ended = Event("drill.ended", "d1", "late", "schedule", NOON, {"outcome": outcome})
    assert notice(ended, "en").urgent is urgent


@pytest.mark.parametrize("kind", ["command.start", "version.added", "notification.failed"])
def test_what_is_no_news_is_not_told(kind: str) -> None:
    assert notice(Event(kind, "s", "m", "ann", NOON), "en") is None


@pytest.mark.parametrize("kind", ["rollout.phase_changed", "rollout.judged"])
def test_what_a_controller_of_another_version_wrote_down_is_not_told(kind: str) -> None:
    data = {"phase": "holding", "step": 0, "percent": 5, "verdicts": [{"verdict": "pass"}]}
    assert notice(Event(kind, "r1", "m", "ann", NOON, data), "en") is None


def test_notices_that_gathered_become_one_message_named_by_the_urgent_one() -> None:
    calm = Notice(Topic.STEP, "calm", "Nothing to do.", NOON)
    urgent = Notice(Topic.FAILOVER, "urgent", "Look.", NOON, urgent=True)
    title, body = joined([calm, urgent, calm], "asr")
    assert title == "[asr] urgent (+2)"
    assert body.count("(2026-11-21 12:00:00 UTC)") == 3


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_of_the_backup_is_told_unless_an_alarm_says_it(language: Language) -> None:
    shares = Event(
        "failover.begun", "fleet", "too little room", "controller", NOON, {"now": "shares"}
    )
    told = notice(shares, language)
    assert told is not None
    assert (told.topic, told.urgent) == (Topic.FAILOVER, False)
    serves = replace(shares, data={"now": "serves"})
    assert notice(serves, language) is None
