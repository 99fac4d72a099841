"""Values that the tests of the core begin with."""

import datetime
from dataclasses import replace
from typing import Any

from controller.core.facts import Facts
from controller.core.gate import ErrorRateGate
from controller.core.plan import Plan, Step
from controller.core.rollout import Phase, Rollout, begin
from controller.core.verdict import Outcome, Verdict

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
PLAN = Plan(
    name="default",
    steps=(Step(5, 60), Step(50, 60), Step(100, 0)),
    gates=(ErrorRateGate(eval_sets=("digits",)),),
    eval_sets=("digits",),
)


def later(seconds: float) -> datetime.datetime:
    return NOON + datetime.timedelta(seconds=seconds)


def a_rollout(**changes: Any) -> Rollout:
    return replace(begin("r1", "v2", "v1", PLAN, "ann", NOON), **changes)


def facts(seconds: float = 0, **changes: Any) -> Facts:
    return replace(Facts(now=later(seconds), canary_ready=1, canary_needed=1), **changes)


def a_verdict(outcome: Outcome = Outcome.PASS) -> Verdict:
    return Verdict("error-rate digits", outcome, 0.02, 0.01, -0.01, (-0.02, 0.0), 200, "measured")


def holding(percent: float = 5, **changes: object) -> Rollout:
    return a_rollout(phase=Phase.HOLDING, reached_percent=percent, **changes)


def a_plan(**step: object) -> Plan:
    first = replace(PLAN.steps[0], **step)
    return replace(PLAN, steps=(first, *PLAN.steps[1:]), promote="auto")


def passing(seconds: float, **changes: object) -> Facts:
    return facts(seconds=seconds, verdicts=(a_verdict(),), **changes)
