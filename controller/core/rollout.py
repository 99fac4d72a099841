"""One walk of a version through a plan: a value, and which phases may follow each other.

It changes by facts (`core.advance`) and by people (`core.steering`); what exists and who gets
traffic follows from the value (`core.desired`), so a crash at any point is healed by computing it
again."""

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
    ABORTED = "aborted"  # likewise, but the version is not to blame: a person said so, mostly


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
    reached_shadow: float = 0.0
    full: bool = False  # promoted "all the way": the holds that remain are skipped
    forced: bool = False  # the step that is prepared begins in a freeze, too
    paused_phase: Phase | None = None
    verdicts: tuple[Verdict, ...] = ()
    overruled: tuple[str, ...] = ()  # the verdicts, by gate, that a person promoted past

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def evaluated(self) -> bool:
        """Whether the eval sets have been judged."""
        return any(not verdict.is_live for verdict in self.verdicts)

    @property
    def current_step(self) -> Step:
        return self.plan.steps[self.step]

    @property
    def is_last_step(self) -> bool:
        return self.step == len(self.plan.steps) - 1

    @property
    def percent(self) -> float:
        """The share of random traffic that the canary is to have now, 0-100."""
        return 0.0 if self.ended or self.plan.asks else self.reached_percent

    @property
    def shadow(self) -> float:
        """The share of stable's requests of which the canary is to get a copy now, 0-100."""
        return 0.0 if self.ended or self._strained else self.reached_shadow

    @property
    def _strained(self) -> bool:
        """Whether copies were seen to slow stable down: then this rollout has no more of them."""
        names = {gate.name for gate in self.plan.strain_gates}
        return any(v.gate in names and v.verdict is Outcome.FAIL for v in self.verdicts)

    @property
    def baseline_percent(self) -> float:
        """The share that the baseline is to have now, 0-50."""
        return self.plan.baseline_percent(self.percent)

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
    forced: bool = False,
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
        forced=forced,
    )


def next_step(rollout: Rollout, now: datetime.datetime, why: str) -> Rollout:
    """Its nodes are to be prepared; the share stays until they are ready."""
    return replace(rollout.to(Phase.PREPARING, now, why), step=rollout.step + 1)
