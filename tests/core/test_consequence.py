from dataclasses import replace

import pytest

from controller.core.advance import advance
from controller.core.consequence import consequence
from controller.core.errors import IllegalTransition
from controller.core.gate import Action, ErrorRateGate
from controller.core.rollout import Phase, Rollout
from controller.core.steering import promote
from controller.core.verdict import Outcome, Verdict
from tests.core.rollouts import PLAN, a_rollout, a_verdict, facts, later

FAIL, INCONCLUSIVE = Outcome.FAIL, Outcome.INCONCLUSIVE
STRICT = ErrorRateGate("strict", on_fail="rollback", on_inconclusive="rollback")
ASKING = ErrorRateGate("asking", on_fail="hold", on_inconclusive="hold")
TOLD = ErrorRateGate("told", on_fail="continue", on_inconclusive="continue")


def holding(**changes: object) -> Rollout:
    plan = replace(PLAN, gates=(STRICT, ASKING, TOLD), promote="auto")
    return a_rollout(plan=plan, phase=Phase.HOLDING, reached_percent=5.0, **changes)


def verdict(gate: str, outcome: Outcome) -> Verdict:
    return replace(a_verdict(outcome), gate=f"{gate} digits")


def after(*verdicts: Verdict, **changes: object) -> Rollout:
    return advance(holding(**changes), facts(seconds=60, verdicts=verdicts))


@pytest.mark.parametrize(
    ("gate", "outcome", "expected"),
    [
        ("strict", INCONCLUSIVE, "rollback"),
        ("asking", FAIL, "hold"),
        ("told", FAIL, "continue"),
        ("told", Outcome.PASS, "continue"),
        ("unknown", FAIL, "rollback"),  # of a plan that has changed since: the plan's word
        ("unknown", INCONCLUSIVE, "hold"),
    ],
)
def test_a_gates_own_word_counts_before_the_plans(
    gate: str, outcome: Outcome, expected: Action
) -> None:
    assert consequence(holding().plan, verdict(gate, outcome)) == expected


def test_a_gate_without_a_word_of_its_own_takes_the_plans() -> None:
    plan = replace(PLAN, on_fail="hold", on_inconclusive="continue")
    assert consequence(plan, a_verdict(FAIL)) == "hold"
    assert consequence(plan, a_verdict(INCONCLUSIVE)) == "continue"


def test_a_failed_gate_that_is_only_told_does_not_stop_the_rollout() -> None:
    assert after(verdict("told", FAIL)).phase is Phase.PREPARING  # the next step


def test_a_failed_gate_that_asks_waits_for_a_person() -> None:
    waiting = after(verdict("asking", FAIL), verdict("told", FAIL))
    assert waiting.phase is Phase.WAITING
    assert waiting.reason.startswith("gate asking digits is fail")


def test_the_severest_consequence_of_all_gates_counts() -> None:
    back = after(verdict("asking", FAIL), verdict("strict", INCONCLUSIVE))
    assert back.phase is Phase.ROLLED_BACK
    assert back.reason.startswith("gate strict digits is inconclusive")


def test_who_went_all_the_way_overruled_what_is_inconclusive_but_no_fail() -> None:
    assert after(verdict("strict", INCONCLUSIVE), full=True).phase is Phase.PREPARING
    assert after(verdict("asking", FAIL), full=True).phase is Phase.WAITING


def test_a_person_may_promote_past_a_gate_that_is_only_told() -> None:
    waiting = replace(holding(verdicts=(verdict("told", FAIL),)), phase=Phase.WAITING)
    assert promote(waiting, "ann", full=False, now=later(1)).phase is Phase.PREPARING


def test_nobody_promotes_past_a_failed_gate_that_holds() -> None:
    waiting = replace(holding(verdicts=(verdict("asking", FAIL),)), phase=Phase.WAITING)
    with pytest.raises(IllegalTransition, match="gate asking digits failed"):
        promote(waiting, "ann", full=False, now=later(1))
