from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import steering
from controller.core.advance import advance
from controller.core.errors import IllegalTransition
from controller.core.facts import Facts
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Plan, Step
from controller.core.rollout import ENDED, NEXT, Phase, Rollout
from controller.core.steering import promote
from controller.core.verdict import Outcome, Verdict
from controller.core.waiting import next_action
from tests.core.rollouts import PLAN, a_rollout, a_verdict, facts, later


def holding(percent: float = 5, **changes: object) -> Rollout:
    return a_rollout(phase=Phase.HOLDING, reached_percent=percent, **changes)


def test_a_new_rollout_gets_no_traffic_before_its_nodes_are_ready() -> None:
    before = a_rollout()
    after = advance(before, facts(canary_ready=0))
    assert after == before
    assert after.percent == 0


def test_ready_nodes_get_the_share_of_the_first_step() -> None:
    after = advance(a_rollout(), facts())
    assert (after.phase, after.percent) == (Phase.HOLDING, 5)


def test_nodes_that_are_not_ready_in_time_end_the_rollout() -> None:
    after = advance(a_rollout(), facts(seconds=301, canary_ready=0))
    assert after.phase is Phase.ROLLED_BACK
    assert "not ready after 300 s" in after.reason


def test_time_without_a_controller_does_not_count_against_the_nodes() -> None:
    away = facts(seconds=9999, canary_ready=0, observing_since=later(9990))
    assert advance(a_rollout(), away).phase is Phase.PREPARING


def test_a_canary_that_cannot_serve_is_rolled_back_with_its_reason() -> None:
    after = advance(holding(), facts(canary_problem="v2-1 ended 3 times"))
    assert (after.phase, after.percent) == (Phase.ROLLED_BACK, 0)
    assert "v2-1 ended 3 times" in after.reason


def test_a_version_gets_no_traffic_before_its_preflight_has_passed() -> None:
    after = advance(a_rollout(), facts(preflight_passed=False))
    assert (after.phase, after.percent) == (Phase.PREPARING, 0)


def test_a_version_that_fails_its_preflight_is_rolled_back() -> None:
    after = advance(a_rollout(), facts(preflight_passed=False, preflight_problem="too slow"))
    assert after.phase is Phase.ROLLED_BACK
    assert "failed its preflight: too slow" in after.reason


def test_a_preflight_that_does_not_end_ends_the_rollout() -> None:
    after = advance(a_rollout(), facts(seconds=301, preflight_passed=False))
    assert after.phase is Phase.ROLLED_BACK
    assert "preflight has not ended" in after.reason


def test_what_hindered_the_preflight_is_the_reason_of_its_end() -> None:
    waits = "it could not be measured: node at 10.0.0.1 answered 429"
    late = facts(seconds=301, preflight_passed=False, preflight_waits=waits)
    assert waits in advance(a_rollout(), late).reason
    assert waits in next_action(a_rollout(), late)


def test_the_time_that_a_preflight_measures_is_not_held_against_the_version() -> None:
    measuring = facts(seconds=900, preflight_passed=False, preflight_seconds=601)
    assert advance(a_rollout(), measuring).phase is Phase.PREPARING
    late = facts(seconds=902, preflight_passed=False, preflight_seconds=601)
    assert advance(a_rollout(), late).phase is Phase.ROLLED_BACK


def test_a_step_lasts_until_its_gates_are_measured() -> None:
    assert advance(holding(), facts(seconds=9999)) == holding()


def test_a_step_lasts_as_long_as_its_hold_although_the_gates_passed() -> None:
    after = advance(holding(), facts(seconds=59, verdicts=(a_verdict(),)))
    assert after.phase is Phase.HOLDING
    assert after.verdicts == (a_verdict(),)


def test_a_passed_step_waits_for_a_person() -> None:
    after = advance(holding(), facts(seconds=60, verdicts=(a_verdict(),)))
    assert (after.phase, after.percent) == (Phase.WAITING, 5)


def test_a_step_is_not_passed_while_its_canary_is_missing() -> None:
    missing = facts(seconds=9999, verdicts=(a_verdict(),), canary_ready=0)
    assert advance(holding(), missing).phase is Phase.HOLDING


def test_a_failed_gate_rolls_back_at_once() -> None:
    after = advance(holding(), facts(seconds=1, verdicts=(a_verdict(Outcome.FAIL),)))
    assert after.phase is Phase.ROLLED_BACK
    assert "error-rate digits failed" in after.reason
    assert after.verdicts == (a_verdict(Outcome.FAIL),)


def test_an_inconclusive_gate_waits_for_a_person() -> None:
    after = advance(holding(), facts(seconds=1, verdicts=(a_verdict(Outcome.INCONCLUSIVE),)))
    assert after.phase is Phase.WAITING
    assert "a person must decide" in after.reason


def test_gates_that_cannot_be_measured_are_inconclusive_never_passed() -> None:
    after = advance(holding(), facts(seconds=100, evaluation_problem="no node answers"))
    assert after.phase is Phase.WAITING
    assert "no node answers" in after.reason


def a_plan(**step: object) -> Plan:
    first = replace(PLAN.steps[0], **step)
    return replace(PLAN, steps=(first, *PLAN.steps[1:]), promote="auto")


def passing(seconds: float, **changes: object) -> Facts:
    return facts(seconds=seconds, verdicts=(a_verdict(),), **changes)


def test_a_step_lasts_until_the_canary_has_had_its_requests() -> None:
    busy = holding(plan=a_plan(min_requests=500))
    assert advance(busy, passing(9999, canary_requests=499)).phase is Phase.HOLDING
    assert advance(busy, passing(9999, canary_requests=500)).step == 1


def test_a_step_with_a_pause_asks_a_person_although_the_plan_goes_on_by_itself() -> None:
    assert advance(holding(plan=a_plan(pause=True)), passing(60)).phase is Phase.WAITING
    assert advance(holding(plan=a_plan()), passing(60)).phase is Phase.PREPARING


def test_nothing_goes_forward_in_a_freeze_and_back_goes_all_the_same() -> None:
    frozen = {"frozen_until": later(86400)}
    assert advance(holding(plan=a_plan()), passing(60, **frozen)).phase is Phase.HOLDING
    failed = facts(verdicts=(a_verdict(Outcome.FAIL),), **frozen)
    assert advance(holding(plan=a_plan()), failed).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("on_inconclusive", "phase"),
    [("hold", Phase.WAITING), ("rollback", Phase.ROLLED_BACK), ("continue", Phase.PREPARING)],
)
def test_what_is_not_decided_by_the_deadline_is_inconclusive(
    on_inconclusive: str, phase: Phase
) -> None:
    plan = replace(a_plan(min_requests=500, deadline_seconds=300), on_inconclusive=on_inconclusive)
    before, at = passing(299), passing(300)
    assert advance(holding(plan=plan), before).phase is Phase.HOLDING
    after = advance(holding(plan=plan), at)
    assert after.phase is phase
    assert "not decided 300 s after the step began: v2 has had 0 of 500 requests" in after.reason


def test_gates_that_are_never_measured_are_inconclusive_at_the_deadline() -> None:
    after = advance(holding(plan=a_plan(deadline_seconds=300)), facts(seconds=300))
    assert after.phase is Phase.WAITING
    assert "the gates are being measured" in after.reason


def test_a_freeze_is_not_held_against_a_step() -> None:
    plan = a_plan(deadline_seconds=300)
    frozen = passing(9999, frozen_until=later(86400))
    assert advance(holding(plan=plan), frozen).phase is Phase.HOLDING


FROZEN = {"frozen_until": later(86400), "thawed_at": later(86400)}


def test_a_step_that_was_prepared_before_a_freeze_begins_after_it() -> None:
    before = a_rollout(step=1, reached_percent=5.0)
    assert advance(before, facts(seconds=9999, **FROZEN)) == before
    assert "50 % to v2 later: changes are frozen until" in next_action(before, facts(**FROZEN))
    assert advance(before, facts(seconds=86400, thawed_at=later(86400))).percent == 50


def test_nodes_have_their_time_to_become_ready_after_a_freeze() -> None:
    missing = facts(seconds=86500, canary_ready=0, thawed_at=later(86400))
    assert advance(a_rollout(), missing).phase is Phase.PREPARING
    assert advance(a_rollout(), replace(missing, now=later(86701))).phase is Phase.ROLLED_BACK


def test_a_forced_step_begins_in_a_freeze_and_the_one_after_it_does_not() -> None:
    forced = a_rollout(plan=a_plan(), forced=True)
    begun = advance(forced, facts(**FROZEN))
    assert (begun.phase, begun.percent, begun.forced) == (Phase.HOLDING, 5, False)
    assert advance(begun, passing(9999, **FROZEN)).phase is Phase.HOLDING


@pytest.mark.parametrize(("forced", "phase"), [(True, Phase.HOLDING), (False, Phase.PREPARING)])
def test_a_forced_promotion_goes_on_in_a_freeze(forced: bool, phase: Phase) -> None:
    waiting = holding(verdicts=(a_verdict(),)).to(Phase.WAITING, later(60), "passed")
    promoted = promote(waiting, "ann", full=False, now=later(61), forced=forced)
    assert advance(promoted, passing(62, **FROZEN)).phase is phase


def test_a_forced_step_whose_nodes_do_not_come_ends_in_a_freeze_as_ever() -> None:
    late = facts(seconds=301, canary_ready=0, **FROZEN)
    assert advance(a_rollout(forced=True), late).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(("forced", "phase"), [(True, Phase.PROMOTED), (False, Phase.PREPARING)])
def test_who_goes_all_the_way_waits_for_the_end_of_a_freeze_or_forces_it(
    forced: bool, phase: Phase
) -> None:
    waiting = holding(verdicts=(a_verdict(),)).to(Phase.WAITING, later(60), "passed")
    after = promote(waiting, "ann", full=True, now=later(61), forced=forced)
    for _ in range(2):
        after = advance(after, passing(61, **FROZEN))
    assert after.phase is phase


@pytest.mark.parametrize(("forced", "phase"), [(True, Phase.PROMOTED), (False, Phase.HOLDING)])
def test_a_version_with_all_traffic_becomes_stable_after_the_freeze(
    forced: bool, phase: Phase
) -> None:
    last = holding(100, step=2, full=True, forced=forced)
    assert advance(last, passing(0, **FROZEN)).phase is phase


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


def test_a_person_reads_what_a_step_waits_for() -> None:
    plan = a_plan(min_requests=500)
    held = holding(plan=plan, verdicts=(a_verdict(),))
    assert "another 50 s" in next_action(held, passing(10))
    assert "7 of 500 requests" in next_action(held, passing(60, canary_requests=7))


def test_promote_prepares_the_next_step_and_keeps_the_share_meanwhile() -> None:
    waiting = holding(verdicts=(a_verdict(),)).to(Phase.WAITING, later(60), "passed")
    after = promote(waiting, "ann", full=False, now=later(61))
    assert (after.phase, after.step, after.percent) == (Phase.PREPARING, 1, 5)


def test_promote_all_the_way_ends_promoted_without_further_holds() -> None:
    waiting = holding(verdicts=(a_verdict(),)).to(Phase.WAITING, later(60), "passed")
    after = promote(waiting, "ann", full=True, now=later(61))
    for _ in range(2):
        after = advance(after, facts(seconds=61, verdicts=(a_verdict(),)))
    assert after.phase is Phase.PROMOTED


def test_promote_is_refused_while_the_gates_are_measured() -> None:
    with pytest.raises(IllegalTransition, match="still being measured"):
        promote(holding(), "ann", full=False, now=later(1))


def test_promote_is_refused_after_a_failed_gate() -> None:
    with pytest.raises(IllegalTransition, match="abort"):
        promote(holding(verdicts=(a_verdict(Outcome.FAIL),)), "ann", full=True, now=later(1))


def test_a_paused_rollout_keeps_its_share_and_does_not_go_on() -> None:
    paused = steering.pause(holding(), "ann", later(1))
    after = advance(paused, facts(seconds=9999, verdicts=(a_verdict(),)))
    assert (after.phase, after.percent) == (Phase.PAUSED, 5)
    assert steering.resume(after, "ann", later(9999)).phase is Phase.HOLDING


def test_retry_measures_the_gates_again() -> None:
    waiting = holding(verdicts=(a_verdict(Outcome.INCONCLUSIVE),)).to(Phase.WAITING, later(1), "?")
    after = steering.retry(waiting, "ann", later(2))
    assert (after.phase, after.verdicts) == (Phase.HOLDING, ())


@pytest.mark.parametrize("phase", [p for p in Phase if p not in ENDED])
def test_abort_works_in_every_phase_that_has_not_ended(phase: Phase) -> None:
    after = steering.abort(a_rollout(phase=phase, reached_percent=5), "ann", later(1))
    assert (after.phase, after.percent) == (Phase.ABORTED, 0)


@pytest.mark.parametrize("phase", ENDED)
def test_what_has_ended_stays_as_it_is(phase: Phase) -> None:
    ended = a_rollout(phase=phase)
    assert advance(ended, facts(canary_problem="gone")) == ended
    with pytest.raises(IllegalTransition, match="nothing was changed"):
        steering.abort(ended, "ann", later(1))


some_facts = st.builds(
    facts,
    seconds=st.integers(0, 2000),
    canary_ready=st.integers(0, 2),
    canary_problem=st.sampled_from([None, None, None, "crashes"]),
    evaluation_problem=st.sampled_from([None, None, "no node"]),
    verdicts=st.sampled_from([None, *((a_verdict(outcome),) for outcome in Outcome)]),
)
some_command = st.sampled_from(["none", "promote", "full", "pause", "resume", "retry", "abort"])


@given(st.lists(st.tuples(some_facts, some_command), max_size=30))
def test_no_sequence_of_facts_and_commands_breaks_the_rules(sequence: list) -> None:
    now = a_rollout()
    for fact, command in sequence:
        before = now
        now = _commanded(advance(now, fact), command, fact.now)
        assert now.phase is before.phase or now.reason
        assert now.percent <= max(step.percent for step in PLAN.steps[: now.step + 1])
        assert now.percent == 0 or not now.ended
        assert not before.ended or now == before


def _commanded(rollout: Rollout, command: str, now: object) -> Rollout:
    try:
        match command:
            case "promote" | "full":
                return promote(rollout, "ann", command == "full", now)
            case "none":
                return rollout
            case _:
                return getattr(steering, command)(rollout, "ann", now)
    except IllegalTransition:
        return rollout


def test_every_phase_is_in_the_table_of_transitions() -> None:
    assert NEXT.keys() == set(Phase)
