"""What facts make of a rollout. Pure: facts in, a new value out."""

from __future__ import annotations

from dataclasses import replace

from controller.core.consequence import failed_with, severest, together, unmeasured, without
from controller.core.facts import Facts
from controller.core.gate import Action
from controller.core.rollout import Phase, Rollout, next_step
from controller.core.step_verdicts import (
    decision,
    failed_live,
    undecided,
    with_live,
    with_verdicts,
)
from controller.core.waiting import freeze, held_seconds, waits_for


def advance(rollout: Rollout, facts: Facts) -> Rollout:
    """The rollout after these facts; the same value where nothing is to change."""
    if rollout.ended:
        return rollout
    judged = with_verdicts(rollout, facts)  # first: what sent it back must stay to be read
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
    if rollout.phase is not Phase.PREPARING or freeze(rollout, facts):
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


def _prepared(rollout: Rollout, facts: Facts) -> Rollout:
    if facts.canary_ready < facts.canary_needed or not facts.preflight_passed:
        return rollout
    if facts.baseline_ready < facts.baseline_needed or freeze(rollout, facts):
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
    decided, why = decision(rollout, facts)
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
    if waits := waits_for(rollout, facts):
        return _unless_overdue(rollout, facts, waits)
    open_gates = undecided(rollout, facts)
    if not open_gates or rollout.full:
        return _onwards(rollout, facts, why)
    action, unknown = together(rollout.plan, open_gates)  # live traffic has had its time
    if action == "continue":
        return _onwards(rollout, facts, why)
    return _stopped(rollout, facts, action, unknown)


def _onwards(rollout: Rollout, facts: Facts, why: str) -> Rollout:
    asks = not rollout.full and (rollout.plan.promote == "manual" or rollout.current_step.pause)
    if rollout.is_last_step:
        return rollout.to(Phase.PROMOTED, facts.now, f"last step done; {why}")
    if asks:
        return rollout.to(Phase.WAITING, facts.now, f"{why}; waits for `rollout promote`")
    return next_step(rollout, facts.now, why)


def _unless_overdue(rollout: Rollout, facts: Facts, waits: str) -> Rollout:
    """As it is, until the step's deadline; then what is not decided is inconclusive."""
    deadline = rollout.current_step.deadline_seconds
    if deadline is None or rollout.full or facts.frozen_until is not None:
        return rollout
    if held_seconds(rollout, facts) < deadline:
        return rollout
    open_gates = undecided(rollout, facts)
    if not rollout.evaluated:
        open_gates += unmeasured(rollout.plan.gates, (), waits)
    failed = without(rollout.plan, failed_live(facts), rollout.overruled)
    late: Action = rollout.plan.on_inconclusive
    action, what = severest((late, waits), together(rollout.plan, [*failed, *open_gates]))
    why = f"not decided {deadline:g} s after the step began: {what}"
    if action == "continue" and facts.canary_ready >= facts.canary_needed:
        return _onwards(rollout, facts, why)
    return _stopped(rollout, facts, action, why)
