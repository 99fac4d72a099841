"""What people do with a rollout. Each raises IllegalTransition where it cannot be, and then
nothing has changed."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from controller.core.consequence import asking, failed_with
from controller.core.errors import IllegalTransition
from controller.core.rollout import Phase, Rollout, next_step


def promote(
    rollout: Rollout, actor: str, full: bool, now: datetime.datetime, forced: bool = False
) -> Rollout:
    """A person's word: on to the next step, or all the way. Overrides holds, what is
    inconclusive, and fails that ask for a person; never a fail that goes back, or a gate that is
    still being measured. `forced`: the step begins in a freeze, too."""
    if rollout.phase not in {Phase.HOLDING, Phase.WAITING}:
        raise IllegalTransition(
            f"rollout {rollout.id} is {rollout.phase}: promote works while it holds or waits. "
            f"{_NEXT_COMMAND.get(rollout.phase, '')}"
        )
    _refuse_if_not_judged(rollout)
    overruled = asking(rollout.plan, rollout.verdicts)
    why = f"promoted by {actor}" + (f", who overruled {', '.join(overruled)}" * bool(overruled))
    rollout = replace(rollout, overruled=tuple(dict.fromkeys((*rollout.overruled, *overruled))))
    if rollout.is_last_step:
        return rollout.to(Phase.PROMOTED, now, why)
    if not full:
        return replace(next_step(rollout, now, why), forced=forced)
    last = len(rollout.plan.steps) - 1
    after = rollout.to(Phase.PREPARING, now, f"{why}, all the way")
    return replace(after, step=last, full=True, forced=forced)


def _refuse_if_not_judged(rollout: Rollout) -> None:
    if failed := failed_with(rollout.plan, rollout.verdicts, "rollback"):
        raise IllegalTransition(
            f"gate {failed.gate} failed ({failed.reason}); traffic stays as it is. "
            f"`rollout abort` ends the rollout"
        )
    if rollout.plan.gates and not rollout.evaluated and rollout.phase is Phase.HOLDING:
        raise IllegalTransition(
            f"the gates of rollout {rollout.id} are still being measured; traffic stays as it is. "
            f"Promote when `rollout status` shows them, or `rollout abort`"
        )


_NEXT_COMMAND: Final[Mapping[Phase, str]] = {
    Phase.PREPARING: "Its nodes are still starting: wait, or `rollout abort`",
    Phase.PAUSED: "First `rollout resume`",
}


def pause(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """Stay at this share; only a canary that cannot serve or fails a gate still goes back."""
    paused = rollout.to(Phase.PAUSED, now, f"paused by {actor}")
    return replace(paused, paused_phase=rollout.phase)


def resume(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """Go on in the phase that was paused; its hold starts anew."""
    if rollout.phase is not Phase.PAUSED or rollout.paused_phase is None:
        raise IllegalTransition(f"rollout {rollout.id} is {rollout.phase}, not paused")
    return rollout.to(rollout.paused_phase, now, f"resumed by {actor}")


def retry(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """Measure the gates of this step again; what was overruled counts again, too."""
    if rollout.phase is not Phase.WAITING:
        raise IllegalTransition(
            f"rollout {rollout.id} is {rollout.phase}: retry works while waiting"
        )
    again = rollout.to(Phase.HOLDING, now, f"measured again at the word of {actor}")
    return replace(again, verdicts=(), overruled=())


def abort(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """End it on the old version."""
    return rollout.to(Phase.ABORTED, now, f"aborted by {actor}")


def roll_back(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """End it on the old version, by hand; after a promotion, too."""
    after = " after its promotion" if rollout.phase is Phase.PROMOTED else ""
    return rollout.to(Phase.ROLLED_BACK, now, f"rolled back by {actor}{after}")
