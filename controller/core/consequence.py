"""What verdicts lead to: the word of their own gate, else the plan's.

A person may promote past verdicts that ask for one (`hold`), never past those that go back. What
was overruled so is not asked again in the same rollout: neither verdicts on eval sets, which are
measured once, nor a live gate that failed, which stays failed. What live traffic cannot tell is
asked at each step, as each brings new traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controller.core.gate import Action
from controller.core.plan import Gate, Plan
from controller.core.verdict import Outcome, Verdict

_SEVEREST_FIRST: Final[tuple[Action, ...]] = ("rollback", "hold", "continue")


def consequence(plan: Plan, verdict: Verdict) -> Action:
    """What this verdict leads to; a pass lets the rollout continue."""
    gate = next((gate for gate in plan.every_gate if gate.name == _gate_name(verdict)), None)
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


def severest(*decisions: tuple[Action, str]) -> tuple[Action, str]:
    """Of actions with their reasons; of like ones, the first."""
    return min(decisions, key=lambda decision: _SEVEREST_FIRST.index(decision[0]))


def unmeasured(
    gates: Sequence[Gate], verdicts: Sequence[Verdict], reason: str
) -> tuple[Verdict, ...]:
    """What stands for the verdicts of those gates that have none: inconclusive, for `reason`."""
    judged = {_gate_name(verdict) for verdict in verdicts}
    return tuple(
        Verdict(gate.name, Outcome.INCONCLUSIVE, 0.0, 0.0, 0.0, (0.0, 0.0), 0, reason)
        for gate in gates
        if gate.name not in judged
    )


def of_gates(gates: Sequence[Gate], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of these gates."""
    names = {gate.name for gate in gates}
    return [verdict for verdict in verdicts if _gate_name(verdict) in names]


def asking(plan: Plan, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """The gates whose verdicts a person overrules by a promotion."""
    lasting = (v for v in verdicts if v.verdict is Outcome.FAIL or not v.is_live)
    return tuple(v.gate for v in lasting if consequence(plan, v) == "hold")


def without(plan: Plan, verdicts: Sequence[Verdict], overruled: Sequence[str]) -> list[Verdict]:
    """Those that still count."""
    return [v for v in verdicts if v.gate not in overruled or consequence(plan, v) == "rollback"]


def together(plan: Plan, verdicts: Sequence[Verdict]) -> tuple[Action, str]:
    """The severest consequence of all, a fail before what is inconclusive, with the reason."""
    undecided = sorted(
        (v for v in verdicts if v.verdict is not Outcome.PASS),
        key=lambda v: (_SEVEREST_FIRST.index(consequence(plan, v)), v.verdict is not Outcome.FAIL),
    )
    if not undecided:
        return "continue", "no gate failed"
    first = undecided[0]
    return consequence(plan, first), f"gate {first.gate} is {first.verdict}: {first.reason}"


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many gates passed, and which others the rollout goes on in spite of, in words."""
    if not verdicts:
        return "no gate was asked"
    passed = sum(verdict.verdict is Outcome.PASS for verdict in verdicts)
    if passed == len(verdicts):
        return f"all {passed} gates passed"
    words = [f"{passed} of {len(verdicts)} gates passed"]
    for outcome, word in ((Outcome.FAIL, "failed"), (Outcome.INCONCLUSIVE, "undecided")):
        if gates := [v.gate for v in verdicts if v.verdict is outcome]:
            words.append(f"{len(gates)} {word} and let through: {', '.join(gates)}")
    return "; ".join(words)


def _gate_name(verdict: Verdict) -> str:
    """Without the part that was judged."""
    return verdict.gate.split(" ")[0]
