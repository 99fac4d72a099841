"""Nothing goes forward in a freeze, unless somebody forces it."""

from dataclasses import replace

import pytest

from controller.core.advance import advance
from controller.core.rollout import Phase
from controller.core.steering import promote
from controller.core.verdict import Outcome
from controller.core.waiting import next_action
from tests.core.rollouts import a_plan, a_rollout, a_verdict, facts, holding, later, passing


def test_nothing_goes_forward_in_a_freeze_and_back_goes_all_the_same() -> None:
    frozen = {"frozen_until": later(86400)}
    assert advance(holding(plan=a_plan()), passing(60, **frozen)).phase is Phase.HOLDING
    failed = facts(verdicts=(a_verdict(Outcome.FAIL),), **frozen)
    assert advance(holding(plan=a_plan()), failed).phase is Phase.ROLLED_BACK


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
