"""What facts make of a rollout. Pure: facts in, a new value out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.core.consequence import (
    failed_with,
    of_gates,
    severest,
    tally,
    together,
    unmeasured,
    without,
)
from controller.core.gate import Action
from controller.core.rollout import Phase, Rollout, next_step
from controller.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Facts:
    """What `advance` may know: measured, never assumed.

    `observing_since` is when this controller began: time in which nobody looked is not held
    against a node.
    `canary_ready` counts nodes that are healthy with the right digest; `canary_needed` is what the
    current step takes; likewise of the baseline. `canary_requests` are the random ones that it had
    in this step, or, where the plan requires consent, those of who opted in. Until `frozen_until`,
    no version gets more traffic; `thawed_at` is when the last freeze ended, where that is less than
    the plan's `start_deadline` ago. `canary_problem` says why the canary will not become ready
    (crash loop, wrong digest). `preflight_passed`: nothing is left to be shown before the first
    step; `preflight_problem` says what speaks against it, `preflight_waits` why it has not ended;
    `preflight_seconds`, what its measuring has taken, is not held against a start deadline.
    `verdicts` is None until both versions' transcripts are scored; `evaluation_problem` says why
    they cannot be. `live_verdicts` are what live traffic and people say now."""

    now: datetime.datetime
    canary_ready: int
    canary_needed: int
    baseline_ready: int = 0
    baseline_needed: int = 0
    observing_since: datetime.datetime | None = None
    canary_problem: str | None = None
    canary_requests: int = 0
    preflight_problem: str | None = None
    preflight_passed: bool = True
    preflight_waits: str | None = None
    preflight_seconds: float = 0.0
    frozen_until: datetime.datetime | None = None
    thawed_at: datetime.datetime | None = None
    verdicts: tuple[Verdict, ...] | None = None
    evaluation_problem: str | None = None
    live_verdicts: tuple[Verdict, ...] = ()


def advance(rollout: Rollout, facts: Facts) -> Rollout:
    """The rollout after these facts; the same value where nothing is to change."""
    if rollout.ended:
        return rollout
    judged = _with_verdicts(rollout, facts)  # first: what sent it back must stay to be read
    after = _advanced(judged, facts)
    if after.phase is judged.phase or not facts.live_verdicts:
        return after
    return replace(after, verdicts=with_live(after, facts.live_verdicts))  # as they were then


def _advanced(rollout: Rollout, facts: Facts) -> Rollout:
    if problem := _fatal(rollout, facts):
        return rollout.to(Phase.ROLLED_BACK, facts.now, problem)
    if _is_late(rollout, facts):
        return _not_ready(rollout, facts)
    match rollout.phase:
        case Phase.PREPARING:
            return _prepared(rollout, facts)
        case Phase.HOLDING:
            return _held(rollout, facts)
        case _:
            return rollout


def _fatal(rollout: Rollout, facts: Facts) -> str | None:
    if facts.canary_problem is not None:
        return f"{rollout.version} cannot serve: {facts.canary_problem}"
    if rollout.phase is Phase.PREPARING and facts.preflight_problem is not None:
        return f"{rollout.version} failed its preflight: {facts.preflight_problem}"
    verdicts = (*(facts.verdicts or ()), *facts.live_verdicts)
    if failed := failed_with(rollout.plan, verdicts, "rollback"):
        return f"gate {failed.gate} failed: {failed.reason}"
    return None


def _is_late(rollout: Rollout, facts: Facts) -> bool:
    """Whether the nodes of a step, or its preflight, have taken longer than they may."""
    if rollout.phase is not Phase.PREPARING or _frozen(rollout, facts):
        return False
    thawed_at = None if rollout.forced else facts.thawed_at
    times = (rollout.phase_since, facts.observing_since, thawed_at)
    since = max(time for time in times if time is not None)
    waited = (facts.now - since).total_seconds() - facts.preflight_seconds
    return waited > rollout.plan.start_deadline_seconds


def _not_ready(rollout: Rollout, facts: Facts) -> Rollout:
    """A baseline that does not come up is no fault of the new version: that is not marked bad."""
    late = f"after {rollout.plan.start_deadline_seconds:g} s"
    if facts.canary_ready >= facts.canary_needed and facts.baseline_ready < facts.baseline_needed:
        why = (
            f"the baseline was not ready {late} ({facts.baseline_ready} of "
            f"{facts.baseline_needed} fresh nodes of {rollout.from_version}): there is nothing to "
            f"compare {rollout.version} with, which is no fault of its own"
        )
        return rollout.to(Phase.ABORTED, facts.now, why)
    why = (
        f"{rollout.version} was not ready {late} ({facts.canary_ready} of {facts.canary_needed} "
        f"nodes{_unended_preflight(facts)})"
    )
    return rollout.to(Phase.ROLLED_BACK, facts.now, why)


def _unended_preflight(facts: Facts) -> str:
    if facts.preflight_passed:
        return ""
    why = f": {facts.preflight_waits}" if facts.preflight_waits else ""
    return f", its preflight has not ended{why}"


def with_live(rollout: Rollout, live: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on eval sets, and these of live traffic."""
    return (*(v for v in rollout.verdicts if not v.is_live), *live)


def _with_verdicts(rollout: Rollout, facts: Facts) -> Rollout:
    """Live numbers move with every request: they are news only when a gate says something else,
    or with those on eval sets, so that all are of one moment."""
    before = tuple(verdict for verdict in rollout.verdicts if verdict.is_live)
    known = with_live(rollout, ())
    evaluated = facts.verdicts if facts.verdicts is not None else known
    live = facts.live_verdicts or before
    if evaluated == known and _outcomes(live) == _outcomes(before):
        return rollout
    return replace(rollout, verdicts=(*evaluated, *live))


def _outcomes(verdicts: Sequence[Verdict]) -> list[tuple[str, Outcome]]:
    return [(verdict.gate, verdict.verdict) for verdict in verdicts]


def _prepared(rollout: Rollout, facts: Facts) -> Rollout:
    if facts.canary_ready < facts.canary_needed or not facts.preflight_passed:
        return rollout
    if facts.baseline_ready < facts.baseline_needed or _frozen(rollout, facts):
        return rollout
    step = rollout.current_step
    ready = f"{facts.canary_ready} canary nodes"
    if facts.baseline_needed:
        ready += f" and {facts.baseline_ready} of the baseline"
    reason = f"{ready} are ready: {rollout.plan.share(step)}"
    begun = rollout.to(Phase.HOLDING, facts.now, reason)
    return replace(
        begun,
        reached_percent=step.percent,
        reached_shadow=step.shadow,
        forced=rollout.forced and rollout.full,
    )


def _held(rollout: Rollout, facts: Facts) -> Rollout:
    decided, why = _gates(rollout, facts)
    if decided is None:
        return _unless_overdue(rollout, facts, "the gates are being measured")
    if decided == "continue":
        return _passed(rollout, facts, why)
    return _stopped(rollout, facts, decided, why)


def _stopped(rollout: Rollout, facts: Facts, decided: Action, why: str) -> Rollout:
    if decided == "rollback":
        return rollout.to(Phase.ROLLED_BACK, facts.now, why)
    return rollout.to(Phase.WAITING, facts.now, f"{why}: a person must decide")


def _passed(rollout: Rollout, facts: Facts, why: str) -> Rollout:
    if waits := _waits_for(rollout, facts):
        return _unless_overdue(rollout, facts, waits)
    undecided = _undecided(rollout, facts)
    if not undecided or rollout.full:
        return _onwards(rollout, facts, why)
    action, unknown = together(rollout.plan, undecided)  # live traffic has had its time
    if action == "continue":
        return _onwards(rollout, facts, why)
    return _stopped(rollout, facts, action, unknown)


def _undecided(rollout: Rollout, facts: Facts) -> list[Verdict]:
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


def _onwards(rollout: Rollout, facts: Facts, why: str) -> Rollout:
    asks = not rollout.full and (rollout.plan.promote == "manual" or rollout.current_step.pause)
    if rollout.is_last_step:
        return rollout.to(Phase.PROMOTED, facts.now, f"last step done; {why}")
    if asks:
        return rollout.to(Phase.WAITING, facts.now, f"{why}; waits for `rollout promote`")
    return next_step(rollout, facts.now, why)


def _waits_for(rollout: Rollout, facts: Facts) -> str | None:
    """What a step that its gates let pass still waits for, in words."""
    step = rollout.current_step
    if facts.canary_ready < facts.canary_needed:  # a canary that is not there proves nothing
        return f"{facts.canary_ready} of {facts.canary_needed} canary nodes are ready"
    if facts.baseline_ready < facts.baseline_needed:
        return f"{facts.baseline_ready} of {facts.baseline_needed} baseline nodes are ready"
    frozen = _frozen(rollout, facts)
    if rollout.full:
        return frozen
    left = step.hold_seconds - _held_seconds(rollout, facts)
    if left > 0:
        return f"the step is held for another {left:.0f} s"
    missing = step.min_requests - facts.canary_requests
    if missing > 0:
        return (
            f"{rollout.version} has had {facts.canary_requests:,} of {step.min_requests:,} requests"
        )
    return frozen


def _frozen(rollout: Rollout, facts: Facts) -> str | None:
    """What a step that may not begin now waits for, in words."""
    if facts.frozen_until is None or rollout.forced:
        return None
    return f"changes are frozen until {facts.frozen_until:%Y-%m-%d %H:%M %Z}"


def _unless_overdue(rollout: Rollout, facts: Facts, waits: str) -> Rollout:
    """As it is, until the step's deadline; then what is not decided is inconclusive."""
    deadline = rollout.current_step.deadline_seconds
    if deadline is None or rollout.full or facts.frozen_until is not None:
        return rollout
    if _held_seconds(rollout, facts) < deadline:
        return rollout
    open_gates = _undecided(rollout, facts)
    if not rollout.evaluated:
        open_gates += unmeasured(rollout.plan.gates, (), waits)
    failed = without(rollout.plan, _failed_live(facts), rollout.overruled)
    late: Action = rollout.plan.on_inconclusive
    action, what = severest((late, waits), together(rollout.plan, [*failed, *open_gates]))
    why = f"not decided {deadline:g} s after the step began: {what}"
    if action == "continue" and facts.canary_ready >= facts.canary_needed:
        return _onwards(rollout, facts, why)
    return _stopped(rollout, facts, action, why)


def _failed_live(facts: Facts) -> list[Verdict]:
    return [v for v in facts.live_verdicts if v.verdict is Outcome.FAIL]


def _held_seconds(rollout: Rollout, facts: Facts) -> float:
    return (facts.now - rollout.phase_since).total_seconds()


def _gates(rollout: Rollout, facts: Facts) -> tuple[Action | None, str]:
    """What the gates lead to together, with the reason; None while they are being measured.

    What could not be measured is inconclusive. Who promoted all the way overruled what is
    inconclusive, now and later."""
    plan = rollout.plan
    verdicts = with_live(rollout, _failed_live(facts))
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
    all_gates = [*verdicts, *passed, *_undecided(rollout, facts)]
    why = tally(without(rollout.plan, all_gates, rollout.overruled))
    return f"{why} (overruled: {', '.join(rollout.overruled)})" if rollout.overruled else why


def next_action(rollout: Rollout, facts: Facts | None = None) -> str:
    """What happens next by itself, or what a person is to do; one sentence."""
    step = rollout.current_step
    share = f"{step.percent:g} %" if step.percent else rollout.plan.share(step)
    match rollout.phase:
        case Phase.PREPARING if facts is not None and facts.preflight_waits:
            return (
                f"{share} to {rollout.version} as soon as its preflight has passed: "
                f"{facts.preflight_waits}"
            )
        case Phase.PREPARING if facts is not None and (frozen := _frozen(rollout, facts)):
            return f"{share} to {rollout.version} later: {frozen}"
        case Phase.PREPARING:
            others = " and those of the baseline" if facts and facts.baseline_needed else ""
            return f"{share} to {rollout.version} as soon as its nodes{others} are ready"
        case Phase.HOLDING if rollout.plan.gates and not rollout.evaluated:
            return "the gates are being measured"
        case Phase.HOLDING if facts is not None and (waits := _waits_for(rollout, facts)):
            return f"decides when it can: {waits}"
        case Phase.HOLDING:
            return f"decides {step.hold_seconds:g} s after the step began"
        case Phase.WAITING if failed := _asks(rollout):
            return (
                f"`rollout promote` goes on although gate {failed.gate} failed, "
                f"`rollout abort` goes back"
            )
        case Phase.WAITING:
            return "`rollout promote` goes on, `rollout abort` goes back"
        case Phase.PAUSED:
            return "`rollout resume` goes on, `rollout abort` goes back"
        case _:
            return "nothing: it has ended"


def _asks(rollout: Rollout) -> Verdict | None:
    """A failed gate that waits for a person's word."""
    counting = without(rollout.plan, rollout.verdicts, rollout.overruled)
    return failed_with(rollout.plan, counting, "hold")
