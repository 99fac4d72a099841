"""What the gates of a step say together: those on eval sets, of live traffic, and of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller.core.consequence import of_gates, tally, together, unmeasured, without
from controller.core.facts import Facts
from controller.core.gate import Action
from controller.core.rollout import Rollout
from controller.core.verdict import Outcome, Verdict


def with_live(rollout: Rollout, live: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on eval sets, and these of live traffic."""
    return (*(v for v in rollout.verdicts if not v.is_live), *live)


def with_verdicts(rollout: Rollout, facts: Facts) -> Rollout:
    """The rollout, and what its gates say now. Live numbers move with every request: they are
    news only when a gate says something else, or with those on eval sets, so that all are of one
    moment."""
    before = tuple(verdict for verdict in rollout.verdicts if verdict.is_live)
    known = with_live(rollout, ())
    evaluated = facts.verdicts if facts.verdicts is not None else known
    live = facts.live_verdicts or before
    if evaluated == known and _outcomes(live) == _outcomes(before):
        return rollout
    return replace(rollout, verdicts=(*evaluated, *live))


def _outcomes(verdicts: Sequence[Verdict]) -> list[tuple[str, Outcome]]:
    return [(verdict.gate, verdict.verdict) for verdict in verdicts]


def decision(rollout: Rollout, facts: Facts) -> tuple[Action | None, str]:
    """What the gates lead to together, with the reason; None while they are being measured.

    What could not be measured is inconclusive. Who promoted all the way overruled what is
    inconclusive, now and later."""
    plan = rollout.plan
    verdicts = with_live(rollout, failed_live(facts))
    if facts.evaluation_problem is not None:
        why = f"it could not be measured: {facts.evaluation_problem}"
        verdicts += unmeasured(plan.gates, verdicts, why)
    elif plan.gates and not rollout.evaluated:
        return None, ""
    decisive = [v for v in verdicts if not (rollout.full and v.verdict is Outcome.INCONCLUSIVE)]
    action, why = together(plan, without(plan, decisive, rollout.overruled))
    if action == "continue":
        why = _let_pass(rollout, facts, verdicts)
    return action, why


def _let_pass(rollout: Rollout, facts: Facts, verdicts: Sequence[Verdict]) -> str:
    """What is said of a step that ends well: of all gates, live ones as they are by then."""
    if not rollout.plan.every_gate:
        return "the plan has no gates"
    passed = [v for v in facts.live_verdicts if v.verdict is Outcome.PASS]
    all_gates = [*verdicts, *passed, *undecided(rollout, facts)]
    why = tally(without(rollout.plan, all_gates, rollout.overruled))
    return f"{why} (overruled: {', '.join(rollout.overruled)})" if rollout.overruled else why


def undecided(rollout: Rollout, facts: Facts) -> list[Verdict]:
    """What the traffic of this step cannot tell; who has seen none least of all."""
    plan = rollout.plan
    asked = plan.traffic_gates(rollout.current_step)
    seen = of_gates((*asked, *plan.preference_gates), facts.live_verdicts)
    live = [gate for gate in asked if gate not in plan.copy_gates]
    copies = [gate for gate in asked if gate in plan.copy_gates]
    unseen = unmeasured(live, seen, "no random traffic was seen yet")
    unseen += unmeasured(copies, seen, "no request was heard by both versions yet")
    unasked = unmeasured(plan.preference_gates, seen, "nobody was asked yet")
    return [v for v in (*seen, *unseen, *unasked) if v.verdict is Outcome.INCONCLUSIVE]


def failed_live(facts: Facts) -> list[Verdict]:
    return [v for v in facts.live_verdicts if v.verdict is Outcome.FAIL]
