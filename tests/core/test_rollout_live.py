"""What live traffic says of a rollout, beside the eval sets."""

from dataclasses import replace

import pytest

from controller.core.advance import advance
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Step
from controller.core.rollout import Phase
from controller.core.verdict import Outcome, Verdict
from tests.core.rollouts import PLAN, a_rollout, a_verdict, facts, holding


def live(outcome: Outcome, **changes: object) -> Verdict:
    return replace(a_verdict(outcome), gate="success", keys=12, **changes)


LIVE_PLAN = replace(PLAN, gates=(), eval_sets=(), live_gates=(LiveGate("success", Kind.SUCCESS),))


def test_a_live_gate_that_fails_rolls_back_at_once_whatever_the_phase() -> None:
    failing = facts(seconds=1, live_verdicts=(live(Outcome.FAIL),))
    for phase in (Phase.HOLDING, Phase.WAITING, Phase.PREPARING):
        after = advance(a_rollout(plan=LIVE_PLAN, phase=phase, reached_percent=5), failing)
        assert after.phase is Phase.ROLLED_BACK
        assert after.verdicts == (live(Outcome.FAIL),)


def test_live_traffic_that_cannot_tell_yet_has_the_whole_step_for_it() -> None:
    unsure = (live(Outcome.INCONCLUSIVE),)
    early = advance(holding(plan=LIVE_PLAN), facts(seconds=59, live_verdicts=unsure))
    assert early.phase is Phase.HOLDING
    late = advance(holding(plan=LIVE_PLAN), facts(seconds=60, live_verdicts=unsure))
    assert late.phase is Phase.WAITING
    assert "gate success is inconclusive" in late.reason


def test_a_plan_may_go_on_although_live_traffic_cannot_tell() -> None:
    gate = LiveGate("success", Kind.SUCCESS, on_inconclusive="continue")
    plan = replace(LIVE_PLAN, live_gates=(gate,), promote="auto")
    unsure = facts(seconds=60, live_verdicts=(live(Outcome.INCONCLUSIVE),))
    assert advance(holding(plan=plan), unsure).step == 1


@pytest.mark.parametrize(
    ("on_inconclusive", "phase"),
    [("hold", Phase.WAITING), ("rollback", Phase.ROLLED_BACK), ("continue", Phase.PROMOTED)],
)
def test_a_live_gate_that_has_seen_nothing_has_not_passed(
    on_inconclusive: str, phase: Phase
) -> None:
    gate = LiveGate("success", Kind.SUCCESS, on_inconclusive=on_inconclusive)
    plan = replace(LIVE_PLAN, steps=(Step(100, 0),), live_gates=(gate,), promote="auto")
    after = advance(holding(100, plan=plan), facts())
    assert after.phase is phase
    assert phase is Phase.PROMOTED or "no random traffic was seen yet" in after.reason


def test_live_numbers_are_written_down_when_a_gate_says_something_else_only() -> None:
    before = advance(holding(plan=LIVE_PLAN), facts(live_verdicts=(live(Outcome.PASS),)))
    moved = live(Outcome.PASS, canary=0.5)
    assert advance(before, facts(seconds=1, live_verdicts=(moved,))) == before
    news = live(Outcome.INCONCLUSIVE)
    assert advance(before, facts(seconds=1, live_verdicts=(news,))).verdicts == (news,)


def test_live_numbers_are_of_the_moment_in_which_the_eval_sets_were_judged() -> None:
    before = advance(holding(plan=LIVE_PLAN), facts(live_verdicts=(live(Outcome.PASS),)))
    moved = replace(live(Outcome.PASS), samples=live(Outcome.PASS).samples + 6)
    judged = facts(seconds=1, verdicts=(a_verdict(),), live_verdicts=(moved,))
    assert advance(before, judged).verdicts == (a_verdict(), moved)


def test_live_verdicts_do_not_stand_in_for_those_on_eval_sets() -> None:
    plan = replace(PLAN, live_gates=LIVE_PLAN.live_gates)
    unmeasured = facts(seconds=9999, live_verdicts=(live(Outcome.PASS),))
    after = advance(holding(plan=plan), unmeasured)
    assert after.phase is Phase.HOLDING
    assert not after.evaluated
