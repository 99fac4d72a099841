"""One walk of a version through a plan, as a pure state machine.

Commands and facts go in, a new value comes out; what exists and who gets traffic follows from
the value (`core.desired`), so a crash at any point is healed by computing it again."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controller.core.errors import IllegalTransition
from controller.core.plan import Plan, Step
from controller.core.verdict import Outcome, Verdict


class Phase(StrEnum):
    PREPARING = "preparing"  # nodes for the step start; traffic is still at the step before
    HOLDING = "holding"  # the step's share flows; gates are measured
    WAITING = "waiting"  # nothing more happens until a person promotes or aborts
    PAUSED = "paused"  # by a person; traffic stays as it is
    PROMOTED = "promoted"  # the version is stable
    ROLLED_BACK = "rolled_back"  # all traffic is on the old version again
    ABORTED = "aborted"  # likewise, because a person said so


ENDED: Final = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED})
_BACK: Final = frozenset({Phase.ROLLED_BACK, Phase.ABORTED})
NEXT: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.PREPARING: frozenset({Phase.HOLDING, Phase.PAUSED}) | _BACK,
    Phase.HOLDING: frozenset({Phase.PREPARING, Phase.WAITING, Phase.PAUSED, Phase.PROMOTED})
    | _BACK,
    Phase.WAITING: frozenset({Phase.PREPARING, Phase.HOLDING, Phase.PAUSED, Phase.PROMOTED})
    | _BACK,
    Phase.PAUSED: frozenset({Phase.PREPARING, Phase.HOLDING, Phase.WAITING}) | _BACK,
    Phase.PROMOTED: frozenset({Phase.ROLLED_BACK}),  # `rollback` after the end
    Phase.ROLLED_BACK: frozenset(),
    Phase.ABORTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What `advance` may know: measured, never assumed.

    `observing_since` is when this controller began: time in which nobody looked is not held
    against a node.
    `canary_ready` counts nodes that are healthy with the right digest; `canary_needed` is what
    the current step takes. `canary_problem` says why the canary will not become ready (crash
    loop, wrong digest). `verdicts` is None until both versions' transcripts are scored;
    `evaluation_problem` says why they cannot be."""

    now: datetime.datetime
    canary_ready: int
    canary_needed: int
    observing_since: datetime.datetime | None = None
    canary_problem: str | None = None
    verdicts: tuple[Verdict, ...] | None = None
    evaluation_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    id: str
    version: str
    from_version: str
    plan: Plan
    phase: Phase
    step: int
    reason: str
    actor: str
    created_at: datetime.datetime
    phase_since: datetime.datetime
    reached_percent: float = 0.0
    full: bool = False  # promoted "all the way": the holds that remain are skipped
    paused_phase: Phase | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def current_step(self) -> Step:
        return self.plan.steps[self.step]

    @property
    def is_last_step(self) -> bool:
        return self.step == len(self.plan.steps) - 1

    @property
    def percent(self) -> float:
        """The share of random traffic that the canary is to have now, 0-100."""
        return 0.0 if self.ended else self.reached_percent

    def to(self, phase: Phase, now: datetime.datetime, reason: str) -> Rollout:
        """The rollout in another phase. Raises IllegalTransition, and nothing has changed."""
        if phase not in NEXT[self.phase]:
            raise IllegalTransition(
                f"rollout {self.id} is {self.phase}: it cannot become {phase}; nothing was changed"
            )
        return replace(self, phase=phase, phase_since=now, reason=reason, paused_phase=None)


def begin(
    rollout_id: str,
    version: str,
    from_version: str,
    plan: Plan,
    actor: str,
    now: datetime.datetime,
) -> Rollout:
    """A new rollout: its first canary nodes are to be started."""
    return Rollout(
        id=rollout_id,
        version=version,
        from_version=from_version,
        plan=plan,
        phase=Phase.PREPARING,
        step=0,
        reason=f"started by {actor}",
        actor=actor,
        created_at=now,
        phase_since=now,
    )


def advance(rollout: Rollout, facts: Facts) -> Rollout:
    """The rollout after these facts; the same value where nothing is to change."""
    if rollout.ended:
        return rollout
    judged = _with_verdicts(rollout, facts)  # first: what sent it back must stay to be read
    if problem := _fatal(judged, facts):
        return judged.to(Phase.ROLLED_BACK, facts.now, problem)
    match judged.phase:
        case Phase.PREPARING:
            return _prepared(judged, facts)
        case Phase.HOLDING:
            return _held(judged, facts)
        case _:
            return judged


def _fatal(rollout: Rollout, facts: Facts) -> str | None:
    if facts.canary_problem is not None:
        return f"{rollout.version} cannot serve: {facts.canary_problem}"
    since = max(rollout.phase_since, facts.observing_since or rollout.phase_since)
    waited = (facts.now - since).total_seconds()
    deadline = rollout.plan.start_deadline_seconds
    if rollout.phase is Phase.PREPARING and waited > deadline:
        return (
            f"{rollout.version} was not ready after {deadline:g} s "
            f"({facts.canary_ready} of {facts.canary_needed} nodes)"
        )
    failed = [v for v in facts.verdicts or () if v.verdict is Outcome.FAIL]
    if failed and rollout.plan.on_fail == "rollback":
        return f"gate {failed[0].gate} failed: {failed[0].reason}"
    return None


def _with_verdicts(rollout: Rollout, facts: Facts) -> Rollout:
    if facts.verdicts is None or facts.verdicts == rollout.verdicts:
        return rollout
    return replace(rollout, verdicts=facts.verdicts)


def _prepared(rollout: Rollout, facts: Facts) -> Rollout:
    if facts.canary_ready < facts.canary_needed:
        return rollout
    percent = rollout.current_step.percent
    reason = f"{facts.canary_ready} canary nodes are ready: {percent:g} %"
    return replace(rollout.to(Phase.HOLDING, facts.now, reason), reached_percent=percent)


def _held(rollout: Rollout, facts: Facts) -> Rollout:
    decided, why = _gates(rollout, facts)
    if decided is None:
        return rollout
    if decided is Outcome.PASS or (rollout.full and decided is not Outcome.FAIL):
        return _passed(rollout, facts, why)
    match rollout.plan.on_fail if decided is Outcome.FAIL else rollout.plan.on_inconclusive:
        case "rollback":
            return rollout.to(Phase.ROLLED_BACK, facts.now, why)
        case "continue":
            return _passed(rollout, facts, why)
        case _:
            return rollout.to(Phase.WAITING, facts.now, f"{why}: a person must decide")


def _passed(rollout: Rollout, facts: Facts, why: str) -> Rollout:
    if facts.canary_ready < facts.canary_needed:
        return rollout  # a canary that is not there proves nothing
    held = (facts.now - rollout.phase_since).total_seconds()
    if held < rollout.current_step.hold_seconds and not rollout.full:
        return rollout
    if rollout.is_last_step:
        return rollout.to(Phase.PROMOTED, facts.now, f"last step done; {why}")
    if rollout.plan.promote == "auto" or rollout.full:
        return _next_step(rollout, facts.now, why)
    return rollout.to(Phase.WAITING, facts.now, f"{why}; waits for `rollout promote`")


def _gates(rollout: Rollout, facts: Facts) -> tuple[Outcome | None, str]:
    """What the gates say together, with the reason; None while they are being measured."""
    if facts.evaluation_problem is not None:
        return Outcome.INCONCLUSIVE, f"the gates could not be measured: {facts.evaluation_problem}"
    if not rollout.plan.gates:
        return Outcome.PASS, "the plan has no gates"
    if not rollout.verdicts:
        return None, ""
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        for verdict in rollout.verdicts:
            if verdict.verdict is outcome:
                return outcome, f"gate {verdict.gate} is {outcome}: {verdict.reason}"
    return Outcome.PASS, f"all {len(rollout.verdicts)} gates passed"


def _next_step(rollout: Rollout, now: datetime.datetime, why: str) -> Rollout:
    return replace(rollout.to(Phase.PREPARING, now, why), step=rollout.step + 1)


def promote(rollout: Rollout, actor: str, full: bool, now: datetime.datetime) -> Rollout:
    """A person's word: on to the next step, or all the way. Overrides holds and what is
    inconclusive, never a failed gate or one that is still being measured."""
    if rollout.phase not in {Phase.HOLDING, Phase.WAITING}:
        raise IllegalTransition(
            f"rollout {rollout.id} is {rollout.phase}: promote works while it holds or waits. "
            f"{_NEXT_COMMAND.get(rollout.phase, '')}"
        )
    _refuse_if_not_judged(rollout)
    why = f"promoted by {actor}"
    if rollout.is_last_step:
        return rollout.to(Phase.PROMOTED, now, why)
    if not full:
        return _next_step(rollout, now, why)
    last = len(rollout.plan.steps) - 1
    return replace(rollout.to(Phase.PREPARING, now, f"{why}, all the way"), step=last, full=True)


def _refuse_if_not_judged(rollout: Rollout) -> None:
    if not rollout.plan.gates:
        return
    failed = [v for v in rollout.verdicts if v.verdict is Outcome.FAIL]
    if failed:
        raise IllegalTransition(
            f"gate {failed[0].gate} failed ({failed[0].reason}); traffic stays as it is. "
            f"`rollout abort` ends the rollout"
        )
    if not rollout.verdicts and rollout.phase is Phase.HOLDING:
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
    """Measure the gates of this step again."""
    if rollout.phase is not Phase.WAITING:
        raise IllegalTransition(
            f"rollout {rollout.id} is {rollout.phase}: retry works while waiting"
        )
    again = rollout.to(Phase.HOLDING, now, f"measured again at the word of {actor}")
    return replace(again, verdicts=())


def abort(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """End it on the old version."""
    return rollout.to(Phase.ABORTED, now, f"aborted by {actor}")


def roll_back(rollout: Rollout, actor: str, now: datetime.datetime) -> Rollout:
    """End it on the old version, by hand; after a promotion, too."""
    after = " after its promotion" if rollout.phase is Phase.PROMOTED else ""
    return rollout.to(Phase.ROLLED_BACK, now, f"rolled back by {actor}{after}")


def next_action(rollout: Rollout) -> str:
    """What happens next by itself, or what a person is to do; one sentence."""
    step = rollout.current_step
    match rollout.phase:
        case Phase.PREPARING:
            return f"{step.percent:g} % to {rollout.version} as soon as its nodes are ready"
        case Phase.HOLDING if rollout.plan.gates and not rollout.verdicts:
            return "the gates are being measured"
        case Phase.HOLDING:
            return f"decides {step.hold_seconds:g} s after the step began"
        case Phase.WAITING:
            return "`rollout promote` goes on, `rollout abort` goes back"
        case Phase.PAUSED:
            return "`rollout resume` goes on, `rollout abort` goes back"
        case _:
            return "nothing: it has ended"
