"""What a rollout waits for, in words."""

from __future__ import annotations

from controller.core.consequence import failed_with, without
from controller.core.facts import Facts
from controller.core.rollout import Phase, Rollout
from controller.core.verdict import Verdict


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
        case Phase.PREPARING if facts is not None and (frozen := freeze(rollout, facts)):
            return f"{share} to {rollout.version} later: {frozen}"
        case Phase.PREPARING:
            others = " and those of the baseline" if facts and facts.baseline_needed else ""
            return f"{share} to {rollout.version} as soon as its nodes{others} are ready"
        case Phase.HOLDING if rollout.plan.gates and not rollout.evaluated:
            return "the gates are being measured"
        case Phase.HOLDING if facts is not None and (waits := waits_for(rollout, facts)):
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


def waits_for(rollout: Rollout, facts: Facts) -> str | None:
    """What a step that its gates let pass still waits for; None where for nothing."""
    step = rollout.current_step
    if facts.canary_ready < facts.canary_needed:  # a canary that is not there proves nothing
        return f"{facts.canary_ready} of {facts.canary_needed} canary nodes are ready"
    if facts.baseline_ready < facts.baseline_needed:
        return f"{facts.baseline_ready} of {facts.baseline_needed} baseline nodes are ready"
    frozen = freeze(rollout, facts)
    if rollout.full:
        return frozen
    left = step.hold_seconds - held_seconds(rollout, facts)
    if left > 0:
        return f"the step is held for another {left:.0f} s"
    missing = step.min_requests - facts.canary_requests
    if missing > 0:
        return (
            f"{rollout.version} has had {facts.canary_requests:,} of {step.min_requests:,} requests"
        )
    return frozen


def freeze(rollout: Rollout, facts: Facts) -> str | None:
    """What a step that may not begin now waits for; None where nothing is frozen."""
    if facts.frozen_until is None or rollout.forced:
        return None
    return f"changes are frozen until {facts.frozen_until:%Y-%m-%d %H:%M %Z}"


def held_seconds(rollout: Rollout, facts: Facts) -> float:
    return (facts.now - rollout.phase_since).total_seconds()
