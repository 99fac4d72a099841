"""A plan as `rollout plan check` and the report tell it."""

from __future__ import annotations

from controller.core.gate import ErrorRateGate
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Plan, Step
from controller.core.review.gate import PreferenceGate
from controller.plan_views import plan


def test_a_plan_with_a_baseline_says_what_it_is_and_that_gates_compare_with_it() -> None:
    steps = (Step(5, 600), Step(100))
    mine = Plan("mine", steps, live_gates=(LiveGate("success", Kind.SUCCESS),), baseline=True)
    (line,) = [line for line in plan(mine).splitlines() if line.startswith("baseline: ")]
    assert "as many fresh nodes of the old version as the canary has" in line
    assert "compare the canary with them instead of with stable" in line


def test_a_plan_that_requires_consent_says_what_its_percentages_are_for() -> None:
    steps = (Step(5, 60, min_requests=200), Step(100))
    first, consent = plan(Plan("mine", steps, consent="required")).splitlines()[:2]
    assert "mine: nodes for 5 % for at least 1m and 200 requests of who opted in, then" in first
    assert consent.startswith("consent required: only who opts in on the router's page /canary")


def test_a_plan_with_a_preference_gate_says_whom_it_asks() -> None:
    gates = (PreferenceGate(min_agreement=0.4, on_inconclusive="continue"),)
    mine = Plan("mine", (Step(100),), preference_gates=gates, eval_sets=("calls",))
    line = next(line for line in plan(mine).splitlines() if "gate preference" in line)
    assert "prefer the new version in surely more than 40 % of a random sample" in line
    assert line.endswith(
        "at least 50 votes of 2 people, who agree (alpha at least 0.4) (failed: rollback; "
        "undecided: continue)"
    )


def test_a_gate_is_told_with_all_that_it_bounds_and_what_it_leads_to() -> None:
    gate = ErrorRateGate(
        measure="mer", form="numbers", max_increase_points=None, max_increase_percent=10,
        slices=("noise",), confidence=99, on_fail="continue",
    )  # fmt: skip
    line = plan(Plan("mine", (Step(100),), (gate,), eval_sets=("calls",))).splitlines()[2]
    assert line == (
        "gate error-rate: MER with numbers by value may rise by at most 10 % of stable's (99 % "
        "sure), overall and on each of calls, #noise; failed: continue"
    )
