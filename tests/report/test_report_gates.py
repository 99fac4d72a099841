"""One verdict as numbers and as a picture; whatever program wrote it down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.review.gate import PreferenceGate
from controller.core.verdict import Outcome
from controller.engine.audit import verdict_data
from controller.report.gates import gate_line
from controller.report.worst import cases
from tests.report.reports import BAD, GOOD, LIVE, PLAN, measured, verdict, worst


def test_a_failed_gate_is_drawn_beyond_its_bound() -> None:
    line = gate_line(verdict_data(BAD[2]), PLAN)
    picture = line.picture
    assert (line.word, line.change) == ("Fail", "+3.20 [+2.10, +4.30] points")
    assert picture is not None
    assert 0 < picture.same < picture.bound < picture.low < picture.estimate < picture.high < 100
    assert picture.beyond == (picture.low, picture.high - picture.low)
    assert picture.bound_label == "+1"


def test_a_passed_gate_has_nothing_beyond_its_bound() -> None:
    picture = gate_line(verdict_data(GOOD[0]), PLAN).picture
    assert picture is not None
    assert picture.beyond is None
    assert picture.high < picture.bound


def test_what_is_undecided_reaches_over_the_bound() -> None:
    picture = gate_line(verdict_data(GOOD[1]), PLAN).picture
    assert picture is not None
    assert picture.beyond == (picture.bound, pytest.approx(picture.high - picture.bound))


def test_a_relative_bound_is_drawn_in_percent_of_stables_rate() -> None:
    picture = gate_line(verdict_data(GOOD[2]), PLAN).picture
    assert picture is not None
    assert picture.bound_label == "+10 %"
    assert picture.low < picture.same < picture.high < picture.bound


def test_a_live_gate_is_drawn_against_its_margin_and_counts_users() -> None:
    line = gate_line(verdict_data(LIVE[0]), PLAN)
    assert (line.kind, line.samples) == ("failed requests", "500 of 212 users")
    assert line.picture is not None
    assert line.picture.bound_label == "+1"


def test_a_live_gate_of_nodes_has_words_and_no_picture() -> None:
    line = gate_line(verdict_data(LIVE[1]), PLAN)
    assert (line.kind, line.picture) == ("degraded nodes", None)
    assert line.samples == "500 looks, nodes: 2"


def test_a_preference_is_of_pairs_and_people_and_has_no_picture() -> None:
    plan = replace(PLAN, preference_gates=(PreferenceGate(),), eval_sets=("digits",))
    said = replace(LIVE[0], gate="preference", samples=70, keys=3)
    line = gate_line(verdict_data(said), plan)
    assert (line.kind, line.samples) == ("preferred by people", "70 pairs, people: 3")
    assert line.picture is None


def test_numbers_that_the_page_does_not_know_are_listed() -> None:
    assert dict(gate_line(verdict_data(GOOD[2]), PLAN).more) == {
        "probability of improvement": "0.31"
    }


def test_a_verdict_of_an_earlier_program_is_shown_as_far_as_it_goes() -> None:
    line = gate_line({"gate": "latency p95", "verdict": "pass", "reason": "fast"}, PLAN)
    assert (line.word, line.stable, line.change, line.picture) == ("Pass", "?", "?", None)


def test_an_interval_without_ends_has_no_picture() -> None:
    nothing = verdict("error-rate overall", Outcome.INCONCLUSIVE, float("-inf"), float("inf"))
    line = gate_line(verdict_data(nothing), PLAN)
    assert (line.change, line.picture) == ("?", None)


def test_a_gate_that_the_plan_does_not_have_is_drawn_without_a_bound() -> None:
    picture = gate_line(verdict_data(verdict("other", Outcome.PASS, -0.1, 0.1)), PLAN).picture
    assert picture is not None
    assert (picture.bound, picture.beyond) == (None, None)


def test_new_errors_are_told_from_those_that_stable_has_too() -> None:
    (case,) = cases(measured(worst("请拨打一零零八七转人工")))
    kinds = {(said.text, stable.kind, canary.kind) for said, stable, canary in case.columns}
    assert ("六", "right", "new") in kinds
    assert ("接", "known", "known") in kinds
    assert ("请", "right", "right") in kinds


def test_what_the_canary_lost_is_missing_and_a_failed_request_says_so() -> None:
    lost, failed = cases(measured(worst("请拨打一零零八六转人"), worst(None)))
    assert lost.columns[-1][2].kind == "missing"
    assert (lost.unanswered, failed.unanswered) == (False, True)


def test_without_kept_transcripts_there_are_no_cases() -> None:
    assert cases({}) == []
