from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import steering
from controller.core.advance import advance
from controller.core.errors import IllegalTransition
from controller.core.rollout import ENDED, NEXT, Phase, Rollout
from controller.core.steering import promote
from controller.core.verdict import Outcome
from controller.core.waiting import next_action
from tests.core.rollouts import (
    PLAN,
    a_plan,
    a_rollout,
    a_verdict,
    facts,
    holding,
    later,
    passing,
)


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


def test_a_step_lasts_until_the_canary_has_had_its_requests() -> None:
    busy = holding(plan=a_plan(min_requests=500))
    assert advance(busy, passing(9999, canary_requests=499)).phase is Phase.HOLDING
    assert advance(busy, passing(9999, canary_requests=500)).step == 1


def test_a_step_with_a_pause_asks_a_person_although_the_plan_goes_on_by_itself() -> None:
    assert advance(holding(plan=a_plan(pause=True)), passing(60)).phase is Phase.WAITING
    assert advance(holding(plan=a_plan()), passing(60)).phase is Phase.PREPARING


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
