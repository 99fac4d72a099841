"""The exit status of `rollout start --watch`, from a rollout as the API shows it."""

from __future__ import annotations

from dataclasses import replace

from controller.api.status import rollout_summary
from controller.core.gate import Action
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from controller.options import FAILED, VERDICT_FAIL, VERDICT_INCONCLUSIVE
from controller.rollout_command import verdict_status
from tests.core.rollouts import PLAN, a_rollout, a_verdict


def status(phase: Phase, *outcomes: Outcome, leads_to: Action = "hold") -> int:
    """Where each verdict that is no pass leads to `leads_to`."""
    plan = replace(PLAN, on_fail=leads_to, on_inconclusive=leads_to)
    verdicts = tuple(a_verdict(outcome) for outcome in outcomes)
    return verdict_status(rollout_summary(a_rollout(phase=phase, plan=plan, verdicts=verdicts)))


def test_gates_that_passed_are_exit_status_0() -> None:
    assert status(Phase.WAITING, Outcome.PASS) == 0


def test_a_failed_gate_that_stopped_it_is_exit_status_3() -> None:
    assert status(Phase.WAITING, Outcome.FAIL) == VERDICT_FAIL
    assert status(Phase.ROLLED_BACK, Outcome.FAIL, leads_to="rollback") == VERDICT_FAIL


def test_what_the_plan_lets_through_is_not_what_stopped_it() -> None:
    assert status(Phase.PROMOTED, Outcome.FAIL, leads_to="continue") == 0
    assert status(Phase.WAITING, Outcome.FAIL, leads_to="continue") == 0
    assert status(Phase.ROLLED_BACK, Outcome.FAIL, leads_to="continue") == FAILED


def test_an_inconclusive_gate_or_none_that_was_measured_is_exit_status_4() -> None:
    assert status(Phase.WAITING, Outcome.INCONCLUSIVE) == VERDICT_INCONCLUSIVE
    assert status(Phase.WAITING) == VERDICT_INCONCLUSIVE


def test_a_pause_by_somebody_is_exit_status_4() -> None:
    assert status(Phase.PAUSED) == VERDICT_INCONCLUSIVE
    assert status(Phase.PAUSED, Outcome.PASS) == VERDICT_INCONCLUSIVE
