"""What verdicts lead to: the word of their own gate, else the plan's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controller.core.gate import Action, ErrorRateGate
from controller.core.live.gate import LiveGate
from controller.core.plan import Plan
from controller.core.verdict import Outcome, Verdict

_SEVEREST_FIRST: Final[tuple[Action, ...]] = ("rollback", "hold", "continue")


def consequence(plan: Plan, verdict: Verdict) -> Action:
    """What this verdict leads to; a pass lets the rollout continue."""
    name = verdict.gate.split(" ")[0]
    gates: list[ErrorRateGate | LiveGate] = [*plan.gates, *plan.live_gates]
    gate = next((gate for gate in gates if gate.name == name), None)
    match verdict.verdict:
        case Outcome.PASS:
            return "continue"
        case Outcome.FAIL:
            return (gate.on_fail if gate else None) or plan.on_fail
        case Outcome.INCONCLUSIVE:
            return (gate.on_inconclusive if gate else None) or plan.on_inconclusive


def failed_with(plan: Plan, verdicts: Sequence[Verdict], *actions: Action) -> Verdict | None:
    """The first failed verdict that leads to one of `actions`."""
    failed = (v for v in verdicts if v.verdict is Outcome.FAIL)
    return next((v for v in failed if consequence(plan, v) in actions), None)


def together(plan: Plan, verdicts: Sequence[Verdict]) -> tuple[Action, str]:
    """The severest consequence of all, a fail before what is inconclusive, with the reason."""
    if not plan.gates and not plan.live_gates:
        return "continue", "the plan has no gates"
    undecided = sorted(
        (v for v in verdicts if v.verdict is not Outcome.PASS),
        key=lambda v: (_SEVEREST_FIRST.index(consequence(plan, v)), v.verdict is not Outcome.FAIL),
    )
    if not undecided:
        return "continue", f"all {len(verdicts)} gates passed" if verdicts else "no gate failed"
    first = undecided[0]
    return consequence(plan, first), f"gate {first.gate} is {first.verdict}: {first.reason}"
