"""What facts make of a rollout. Pure: facts in, a new value out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.core.consequence import failed_with, together
from controller.core.gate import Action
from controller.core.rollout import Phase, Rollout, next_step
from controller.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Facts:
    """What `advance` may know: measured, never assumed.

    `observing_since` is when this controller began: time in which nobody looked is not held
    against a node.
    `canary_ready` counts nodes that are healthy with the right digest; `canary_needed` is what the
    current step takes; `canary_requests` are the random ones that it had in this step, or, where
    the plan requires consent, those of who opted in. Until `frozen_until`, no version gets more
    traffic. `canary_problem` says why the canary will not become ready (crash loop, wrong digest).
    `preflight_passed`: nothing is left to be shown before the first step; `preflight_problem` says
    what speaks against it, `preflight_waits` why it has not ended; `preflight_seconds`, what its
    measuring has taken, is not held against a start deadline. `verdicts` is None until both
    versions' transcripts are scored; `evaluation_problem` says why they cannot be.
    `live_verdicts` are what live traffic says now."""

    now: datetime.datetime
    canary_ready: int
    canary_needed: int
    observing_since: datetime.datetime | None = None
    canary_problem: str | None = None
    canary_requests: int = 0
    preflight_problem: str | None = None
    preflight_passed: bool = True
    preflight_waits: str | None = None
    preflight_seconds: float = 0.0
    frozen_until: datetime.datetime | None = None
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
    since = max(rollout.phase_since, facts.observing_since or rollout.phase_since)
    waited = (facts.now - since).total_seconds() - facts.preflight_seconds
    deadline = rollout.plan.start_deadline_seconds
    if rollout.phase is Phase.PREPARING and waited > deadline:
        return (
            f"{rollout.version} was not ready after {deadline:g} s "
            f"({facts.canary_ready} of {facts.canary_needed} nodes"
            f"{_unended_preflight(facts)})"
        )
    verdicts = (*(facts.verdicts or ()), *facts.live_verdicts)
    if failed := failed_with(rollout.plan, verdicts, "rollback"):
        return f"gate {failed.gate} failed: {failed.reason}"
    return None


def _unended_preflight(facts: Facts) -> str:
    if facts.preflight_passed:
        return ""
    why = f": {facts.preflight_waits}" if facts.preflight_waits else ""
    return f", its preflight has not ended{why}"


def with_live(rollout: Rollout, live: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts on eval sets, and these of live traffic."""
    return (*(v for v in rollout.verdicts if not v.is_live), *live)


def _with_verdicts(rollout: Rollout, facts: Facts) -> Rollout:
    """Live numbers move with every request: they are news only when a gate says something else."""
    before = tuple(verdict for verdict in rollout.verdicts if verdict.is_live)
    news = _outcomes(before) != _outcomes(facts.live_verdicts)
    live = facts.live_verdicts if news and facts.live_verdicts else before
    evaluated = facts.verdicts if facts.verdicts is not None else with_live(rollout, ())
    verdicts = (*evaluated, *live)
    return rollout if verdicts == rollout.verdicts else replace(rollout, verdicts=verdicts)


def _outcomes(verdicts: Sequence[Verdict]) -> list[tuple[str, Outcome]]:
    return [(verdict.gate, verdict.verdict) for verdict in verdicts]


def _prepared(rollout: Rollout, facts: Facts) -> Rollout:
    if facts.canary_ready < facts.canary_needed or not facts.preflight_passed:
        return rollout
    percent = rollout.current_step.percent
    reason = f"{facts.canary_ready} canary nodes are ready: {rollout.plan.share(percent)}"
    return replace(rollout.to(Phase.HOLDING, facts.now, reason), reached_percent=percent)


def _held(rollout: Rollout, facts: Facts) -> Rollout:
    decided, why = _gates(rollout, facts)
    if decided is None:
        return _unless_overdue(rollout, facts, "the gates are being measured")
    match decided:
        case "rollback":
            return rollout.to(Phase.ROLLED_BACK, facts.now, why)
        case "continue":
            return _passed(rollout, facts, why)
        case _:
            return rollout.to(Phase.WAITING, facts.now, f"{why}: a person must decide")


def _passed(rollout: Rollout, facts: Facts, why: str) -> Rollout:
    if waits := _waits_for(rollout, facts):
        return _unless_overdue(rollout, facts, waits)
    undecided = [v for v in facts.live_verdicts if v.verdict is Outcome.INCONCLUSIVE]
    if not undecided or rollout.full:
        return _onwards(rollout, facts, why)
    action, unknown = together(rollout.plan, undecided)  # live traffic has had its time
    match action:
        case "rollback":
            return rollout.to(Phase.ROLLED_BACK, facts.now, unknown)
        case "continue":
            return _onwards(rollout, facts, why)
        case _:
            return rollout.to(Phase.WAITING, facts.now, f"{unknown}: a person must decide")


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
    if rollout.full:
        return None
    left = step.hold_seconds - _held_seconds(rollout, facts)
    if left > 0:
        return f"the step is held for another {left:.0f} s"
    missing = step.min_requests - facts.canary_requests
    if missing > 0:
        return (
            f"{rollout.version} has had {facts.canary_requests:,} of {step.min_requests:,} requests"
        )
    if facts.frozen_until is not None:
        return f"changes are frozen until {facts.frozen_until:%Y-%m-%d %H:%M %Z}"
    return None


def _unless_overdue(rollout: Rollout, facts: Facts, waits: str) -> Rollout:
    """As it is, until the step's deadline; then what is not decided is inconclusive."""
    deadline = rollout.current_step.deadline_seconds
    if deadline is None or rollout.full or facts.frozen_until is not None:
        return rollout
    if _held_seconds(rollout, facts) < deadline:
        return rollout
    why = f"not decided {deadline:g} s after the step began: {waits}"
    match rollout.plan.on_inconclusive:
        case "rollback":
            return rollout.to(Phase.ROLLED_BACK, facts.now, why)
        case "continue" if facts.canary_ready >= facts.canary_needed:
            return _onwards(rollout, facts, why)
        case _:
            return rollout.to(Phase.WAITING, facts.now, f"{why}; a person must decide")


def _held_seconds(rollout: Rollout, facts: Facts) -> float:
    return (facts.now - rollout.phase_since).total_seconds()


def _gates(rollout: Rollout, facts: Facts) -> tuple[Action | None, str]:
    """What the gates lead to together, with the reason; None while they are being measured.

    Who promoted all the way overruled what is inconclusive, now and later."""
    plan = rollout.plan
    failed_live = [v for v in facts.live_verdicts if v.verdict is Outcome.FAIL]
    verdicts = with_live(rollout, failed_live)
    if facts.evaluation_problem is not None:
        action = "continue" if rollout.full else plan.on_inconclusive
        return action, f"the gates could not be measured: {facts.evaluation_problem}"
    if plan.gates and not rollout.evaluated:
        return None, ""
    action, why = together(plan, verdicts)
    if not rollout.full:
        return action, why
    failed = failed_with(plan, verdicts, "rollback", "hold")
    return together(plan, [failed]) if failed else ("continue", why)


def next_action(rollout: Rollout, facts: Facts | None = None) -> str:
    """What happens next by itself, or what a person is to do; one sentence."""
    step = rollout.current_step
    match rollout.phase:
        case Phase.PREPARING if facts is not None and facts.preflight_waits:
            return (
                f"{step.percent:g} % to {rollout.version} as soon as its preflight has passed: "
                f"{facts.preflight_waits}"
            )
        case Phase.PREPARING:
            return f"{step.percent:g} % to {rollout.version} as soon as its nodes are ready"
        case Phase.HOLDING if rollout.plan.gates and not rollout.evaluated:
            return "the gates are being measured"
        case Phase.HOLDING if facts is not None and (waits := _waits_for(rollout, facts)):
            return f"decides when it can: {waits}"
        case Phase.HOLDING:
            return f"decides {step.hold_seconds:g} s after the step began"
        case Phase.WAITING:
            return "`rollout promote` goes on, `rollout abort` goes back"
        case Phase.PAUSED:
            return "`rollout resume` goes on, `rollout abort` goes back"
        case _:
            return "nothing: it has ended"
