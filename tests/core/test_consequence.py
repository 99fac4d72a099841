from dataclasses import replace

import pytest

from controller.core.advance import advance
from controller.core.consequence import consequence
from controller.core.errors import IllegalTransition
from controller.core.gate import Action, ErrorRateGate
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Plan, Step
from controller.core.rollout import Phase, Rollout
from controller.core.steering import promote, retry
from controller.core.verdict import Outcome, Verdict
from controller.core.waiting import next_action
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


def test_nobody_promotes_past_a_failed_gate_that_goes_back() -> None:
    waiting = replace(holding(verdicts=(verdict("strict", FAIL),)), phase=Phase.WAITING)
    with pytest.raises(IllegalTransition, match="gate strict digits failed"):
        promote(waiting, "ann", full=False, now=later(1))


def test_a_person_promotes_past_a_failed_gate_that_asks_and_is_not_asked_again() -> None:
    waiting = after(verdict("asking", FAIL))
    assert "`rollout promote` goes on although gate asking digits failed" in next_action(waiting)
    promoted = promote(waiting, "ann", full=False, now=later(61))
    assert promoted.reason == "promoted by ann, who overruled asking digits"
    assert promoted.overruled == ("asking digits",)
    on = advance(promoted, facts(seconds=62, verdicts=waiting.verdicts))
    assert advance(on, facts(seconds=63, verdicts=waiting.verdicts)).phase is Phase.HOLDING
    passed = advance(on, facts(seconds=122, verdicts=waiting.verdicts))
    assert (passed.phase, passed.step) == (Phase.PREPARING, 2)
    assert "overruled: asking digits" in passed.reason


def test_who_overruled_one_gate_is_asked_about_another() -> None:
    promoted = promote(after(verdict("asking", FAIL)), "ann", full=False, now=later(61))
    on = advance(promoted, facts(seconds=62, verdicts=promoted.verdicts))
    other = replace(verdict("asking", FAIL), gate="asking service")
    assert advance(on, facts(seconds=63, verdicts=(other,))).phase is Phase.WAITING


def test_what_was_overruled_counts_again_when_it_is_measured_again() -> None:
    promoted = promote(after(verdict("asking", FAIL)), "ann", full=False, now=later(61))
    again = retry(replace(promoted, phase=Phase.WAITING), "ann", later(62))
    assert again.overruled == ()


def test_an_overruled_gate_that_goes_back_after_all_goes_back() -> None:
    overruled = ("strict digits",)
    assert after(verdict("strict", FAIL), overruled=overruled).phase is Phase.ROLLED_BACK
    assert after(verdict("strict", INCONCLUSIVE), overruled=overruled).phase is Phase.ROLLED_BACK


def success(outcome: Outcome) -> Verdict:
    return replace(a_verdict(outcome), gate="success", keys=12)


def with_success(**changes: object) -> Plan:
    return replace(holding().plan, live_gates=(LiveGate("success", Kind.SUCCESS, **changes),))


def test_a_live_gate_that_failed_and_was_overruled_is_not_asked_again() -> None:
    failing = facts(seconds=60, verdicts=(a_verdict(),), live_verdicts=(success(FAIL),))
    waiting = advance(replace(holding(), plan=with_success(on_fail="hold")), failing)
    assert waiting.phase is Phase.WAITING
    promoted = promote(waiting, "ann", full=False, now=later(61))
    on = advance(promoted, replace(failing, now=later(62)))
    assert on.phase is Phase.HOLDING
    assert advance(on, replace(failing, now=later(122))).step == 2


def test_what_live_traffic_cannot_tell_is_asked_at_each_step() -> None:
    unsure = facts(seconds=60, verdicts=(a_verdict(),), live_verdicts=(success(INCONCLUSIVE),))
    waiting = advance(replace(holding(), plan=with_success(on_inconclusive="hold")), unsure)
    promoted = promote(waiting, "ann", full=False, now=later(61))
    on = advance(promoted, replace(unsure, now=later(62)))
    assert advance(on, replace(unsure, now=later(122))).phase is Phase.WAITING


def test_what_live_traffic_could_not_tell_is_asked_once_it_fails() -> None:
    plan = with_success(on_fail="hold", on_inconclusive="hold")
    unsure = facts(seconds=60, verdicts=(a_verdict(),), live_verdicts=(success(INCONCLUSIVE),))
    waiting = advance(replace(holding(), plan=plan), unsure)
    promoted = promote(waiting, "ann", full=False, now=later(61))
    on = advance(promoted, replace(unsure, now=later(62)))
    failing = replace(unsure, now=later(63), live_verdicts=(success(FAIL),))
    assert "gate success is fail" in advance(on, failing).reason


def test_who_overrules_twice_has_overruled_both() -> None:
    overruled = holding(verdicts=(verdict("asking", FAIL),), overruled=("success",))
    waiting = replace(overruled, phase=Phase.WAITING)
    after = promote(waiting, "ann", full=False, now=later(1))
    assert after.overruled == ("success", "asking digits")


def unmeasured(**changes: object) -> Rollout:
    plan = with_success(on_fail="hold", on_inconclusive="continue")
    ahead = replace(plan, on_inconclusive="continue", gates=(ErrorRateGate(),))
    return replace(holding(), plan=replace(ahead, **changes))


def test_a_gate_that_cannot_be_measured_does_not_hide_a_live_one_that_failed() -> None:
    unknown = facts(seconds=60, evaluation_problem="no node")
    assert advance(unmeasured(), unknown).phase is Phase.PREPARING
    failing = replace(unknown, live_verdicts=(success(FAIL),))
    waiting = advance(unmeasured(), failing)
    assert waiting.phase is Phase.WAITING
    assert "gate success is fail" in waiting.reason


def test_of_a_gate_that_cannot_be_measured_its_own_word_counts() -> None:
    unknown = facts(seconds=60, evaluation_problem="no node")
    back = advance(unmeasured(gates=(STRICT, TOLD)), unknown)
    assert back.phase is Phase.ROLLED_BACK
    assert back.reason == "gate strict is inconclusive: it could not be measured: no node"


def test_what_was_let_through_is_not_said_to_have_passed() -> None:
    gates = (LiveGate("success", Kind.SUCCESS), LiveGate("empty", Kind.EMPTY))
    plan = replace(holding().plan, live_gates=gates, on_inconclusive="continue")
    said = (a_verdict(), verdict("told", FAIL))
    seen = facts(seconds=60, verdicts=said, live_verdicts=(success(Outcome.PASS),))
    assert advance(replace(holding(), plan=plan), seen).reason == (
        "2 of 4 gates passed; 1 failed and let through: told digits; "
        "1 undecided and let through: empty"
    )


def test_all_gates_passed_counts_live_ones() -> None:
    seen = facts(seconds=60, verdicts=(a_verdict(),), live_verdicts=(success(Outcome.PASS),))
    assert advance(replace(holding(), plan=with_success()), seen).reason == "all 2 gates passed"


def overdue(action: Action, **changes: object) -> Rollout:
    late = Step(5, 60, min_requests=500, deadline_seconds=300)
    gate = LiveGate("success", Kind.SUCCESS, on_fail="hold", on_inconclusive=action)
    steps = (late, *PLAN.steps[1:])
    return unmeasured(live_gates=(gate,), steps=steps, **changes)


@pytest.mark.parametrize("seen", [(), (success(INCONCLUSIVE),)])
def test_at_the_deadline_a_live_gate_that_cannot_tell_has_its_word(seen: tuple) -> None:
    late = facts(seconds=300, verdicts=(a_verdict(),), live_verdicts=seen)
    assert advance(overdue("continue"), late).phase is Phase.PREPARING
    back = advance(overdue("rollback"), late)
    assert back.phase is Phase.ROLLED_BACK
    assert back.reason.startswith(
        "not decided 300 s after the step began: gate success is inconclusive"
    )


def test_at_the_deadline_gates_that_are_still_measured_have_their_word() -> None:
    late = facts(seconds=300, live_verdicts=(success(Outcome.PASS),))
    assert advance(overdue("continue"), late).phase is Phase.PREPARING
    assert advance(overdue("continue", gates=(STRICT,)), late).phase is Phase.ROLLED_BACK
    failing = replace(late, live_verdicts=(success(FAIL),))
    assert advance(overdue("continue"), failing).phase is Phase.WAITING
    overruled = replace(overdue("continue"), overruled=("success",))
    assert advance(overruled, failing).phase is Phase.PREPARING
