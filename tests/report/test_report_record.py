"""What a report is made of: phases, verdicts of every step, shares, versions."""

from __future__ import annotations

import json
from dataclasses import replace

from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from controller.report import report_data, report_of
from controller.report.shares import bars
from controller.report.words import course, duration, headline, people, plain
from tests.core.rollouts import NOON, a_rollout, a_verdict
from tests.report.reports import GOOD, PLAN, History, promoted_and_rolled_back


def test_each_phase_has_its_time_share_and_reason() -> None:
    spans = promoted_and_rolled_back().spans
    assert [(s.phase.value, s.step, s.percent, s.seconds) for s in spans] == [
        ("preparing", 1, 0, 30),
        ("holding", 1, 5, 600),
        ("waiting", 1, 5, 300),
        ("preparing", 2, 5, 20),
        ("holding", 2, 50, 600),
        ("preparing", 3, 50, 20),
        ("holding", 3, 100, 60),
        ("promoted", 3, 100, 7200),
        ("rolled_back", 3, 0, None),
    ]
    assert spans[2].reason == "undecided: a person must decide"


def test_the_verdicts_of_every_step_are_there_with_the_step_they_were_measured_in() -> None:
    judgements = promoted_and_rolled_back().judgements
    assert [(j.step, j.percent, len(j.verdicts)) for j in judgements] == [
        (1, 5, 3),
        (2, 50, 4),
        (2, 50, 3),
    ]
    assert judgements[1].verdicts[0]["verdict"] == "fail"


def test_the_share_that_the_canary_really_got_stands_beside_the_one_asked_for() -> None:
    shares = promoted_and_rolled_back().shares
    assert [(s["share"], s["canary_percent_actual"], s["requests"]) for s in shares] == [
        (5, 4.0, 1000),
        (50, 49.18, 610),
    ]


def test_the_heading_is_the_outcome() -> None:
    record = promoted_and_rolled_back()
    assert headline(record) == "v2 was rolled back to v1"
    assert course(record) == (
        "Started by ann on 2026-11-21 12:00:00 UTC, promoted after 27 min 10 s, rolled back 2 h "
        "later. It reached 100 % of the traffic."
    )


def test_what_was_not_taken_back_has_one_end() -> None:
    history = History()
    history.to(Phase.ABORTED, 60, "aborted by ann")
    assert "12:00:00 UTC, ended after 1 min. It" in course(history.record())


def test_who_gave_which_command_is_said_and_who_was_refused_is_not() -> None:
    assert people(promoted_and_rolled_back()) == "ann: promote; bob: rollback"


def test_where_consent_was_required_no_share_is_claimed() -> None:
    record = promoted_and_rolled_back(plan=replace(PLAN, consent="required"))
    assert course(record).endswith("Until its end only those who opted in got it.")


def test_a_rollout_under_way_has_a_report_too() -> None:
    history = History()
    history.to(Phase.HOLDING, 30, "ready", reached_percent=5.0)
    record = history.record()
    assert headline(record) == "v2 is holding at 5 %, step 1 of 3"
    assert "under way" in course(record)
    assert [bar.percent for bar in bars(record)] == [0, 5]


def test_a_rollout_of_an_older_controller_shows_the_verdicts_that_it_kept() -> None:
    rollout = a_rollout(phase=Phase.WAITING, verdicts=(a_verdict(Outcome.FAIL),))
    record = report_of(rollout, [], {}, {}, NOON)
    assert [v["verdict"] for v in record.judgements[0].verdicts] == ["fail"]
    assert (record.spans, bars(record)) == ((), [])


def test_the_picture_of_shares_fills_its_width_and_ends_with_what_holds_now() -> None:
    drawn = bars(promoted_and_rolled_back())
    assert [bar.percent for bar in drawn] == [0, 5, 50, 100, 100, 0]
    assert [bar.ended for bar in drawn] == [False] * 4 + [True] * 2
    assert abs(sum(bar.width for bar in drawn) - 100) < 0.1
    assert all(bar.width >= 0 for bar in drawn)


def test_versions_have_their_digests_and_an_unknown_one_says_so() -> None:
    record = promoted_and_rolled_back()
    assert [(v.role, v.name, v.digest) for v in record.versions] == [
        ("stable", "v1", "1" * 64),
        ("canary", "v2", "2" * 64),
    ]
    forgotten = report_of(record.rollout, record.events, {}, {}, NOON)
    assert forgotten.versions[0].version is None


def test_the_data_is_json_with_plan_events_and_verdicts() -> None:
    data = json.loads(json.dumps(report_data(promoted_and_rolled_back())))
    assert data["rollout"]["plan"]["steps"][0]["percent"] == 5
    assert data["judgements"][0]["verdicts"][0]["gate"] == GOOD[0].gate
    assert data["events"][0]["at"] == "2026-11-21T12:00:00+00:00"
    assert data["measured"]["worst"][0]["canary"] == "请拨打一千零八十六"


def test_durations_have_two_units_at_most() -> None:
    said = [duration(seconds) for seconds in (0.25, 60, 3725, 90000, 86400 * 400)]
    assert said == ["0.2 s", "1 min", "1 h 2 min", "1 d 1 h", "400 d"]


def test_text_is_on_one_line_and_cannot_turn_the_direction_of_writing() -> None:
    assert plain("a\r\nb\x1b[31mc\u202ed") == "a  b [31mc d"


def test_an_unfinished_last_phase_lasts() -> None:
    history = History()
    assert history.record().spans[-1].seconds is None
    assert replace(history.record(), spans=()).reached_percent == 0
