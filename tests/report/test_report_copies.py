"""What the report says of copied requests."""

from __future__ import annotations

from dataclasses import replace

from controller.core.plan import Step
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Tally, judge
from controller.core.shadow.overview import overview
from controller.engine.audit import verdict_data
from controller.report import html, markdown
from controller.report.gates import gate_line
from controller.views import copies, verdict
from tests.report.reports import PLAN, promoted_and_rolled_back

TALLIES = [
    Tally(f"k{n}", ("digits", "short") if n % 2 else ("short",), 10, 100, n % 2, n % 2, 100, 0, 0)
    for n in range(40)
]
GATE = DisagreementGate()


def test_it_has_a_table_of_all_and_of_each_slice() -> None:
    record = replace(promoted_and_rolled_back(), copies=overview(TALLIES))
    text = markdown(record)
    assert "## What both versions heard of the same requests" in text
    assert "| all | 400 | 40 | 5.00 %" in text
    assert "| \\#digits | 200 | 20 | 10.00 %" in text
    assert "What both versions heard of the same requests" in html(record)


def test_a_rollout_without_copies_has_none() -> None:
    assert "heard of the same" not in markdown(promoted_and_rolled_back())
    assert "heard of the same" not in html(replace(promoted_and_rolled_back(), copies=overview([])))


def test_a_verdict_on_copies_has_one_rate_and_its_bound() -> None:
    plan = replace(PLAN, steps=(Step(0, shadow=20), Step(100)), shadow_gates=(GATE,))
    line = gate_line(verdict_data(judge(GATE, TALLIES, 1)[0]), plan)
    assert (line.stable, line.canary, line.samples) == ("–", "0.50 %", "400 pairs of 40 users")
    assert line.kind == "tokens that differ, written"
    assert line.picture is not None
    assert line.picture.bound_label == "+5"


def test_the_status_says_it_in_a_line() -> None:
    assert copies(overview(TALLIES)) == (
        "copies: 400 requests of 40 users were heard by both; 5.0 % of the texts differ (0.0 % "
        "with numbers by value), 0.50 % of the tokens"
    )
    assert "no request was heard by both" in copies(overview([]))
    line = verdict(verdict_data(judge(GATE, TALLIES, 1)[0]))
    assert "0.50 % differ" in line
    assert "pass" in line
