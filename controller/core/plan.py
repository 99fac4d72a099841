"""A plan: the steps a new version walks, and the gates that let it go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from controller.core.errors import InvalidConfig
from controller.core.gate import ErrorRateGate
from controller.core.live.gate import MOST_SHARE_PERCENT, LiveGate
from controller.core.names import check_name, refuse_duplicates
from controller.core.preflight import LoadCheck
from controller.core.review.gate import PreferenceGate
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.strain import StrainGate

OnFail = Literal["rollback", "hold"]
OnInconclusive = Literal["hold", "continue", "rollback"]
Promote = Literal["manual", "auto"]
Consent = Literal["none", "required"]
Gate = ErrorRateGate | LiveGate | DisagreementGate | StrainGate | PreferenceGate
_YEAR_SECONDS: Final = 365 * 86400


@dataclass(frozen=True, slots=True)
class Step:
    """`percent` (0.1-100, steps of 0.1) of random traffic goes to the canary for at least
    `hold_seconds` and until it has had `min_requests` of it; then, with `pause`, a person is
    asked, whatever the plan says of promotion. What is not decided `deadline_seconds` after the
    step began is inconclusive. Of `shadow` percent of stable's requests the canary gets a copy,
    whose answer nobody gets; `percent` may be 0 then. Raises InvalidConfig."""

    percent: float
    hold_seconds: float = 0.0
    min_requests: int = 0
    pause: bool = False
    deadline_seconds: float | None = None
    shadow: float = 0.0

    def __post_init__(self) -> None:
        self._check_shadow()
        tenths = self.percent * 10
        least = 0 if self.shadow else 0.1
        if not (least <= self.percent <= 100 and math.isclose(tenths, round(tenths))):
            raise InvalidConfig(f"percent: {self.percent:g} is not 0.1-100 in steps of 0.1")
        if not 0 <= self.hold_seconds < math.inf:
            raise InvalidConfig(f"hold: {self.hold_seconds} is not a duration")
        if self.min_requests < 0:
            raise InvalidConfig(f"min_requests: {self.min_requests} is below 0")
        if self.deadline_seconds is not None and self.deadline_seconds <= self.hold_seconds:
            raise InvalidConfig(
                f"deadline: {self.deadline_seconds:g} s is not after the step's hold of "
                f"{self.hold_seconds:g} s"
            )

    def _check_shadow(self) -> None:
        if not 0 <= self.shadow <= 100:
            raise InvalidConfig(f"shadow: {self.shadow:g} is not 0-100")
        if self.shadow and self.percent == 100:
            raise InvalidConfig("shadow: at 100 percent no request is left that could be copied")
        if self.percent == 0 and self.min_requests:
            raise InvalidConfig(
                "min_requests: at 0 percent the new version answers none; a gate of kind "
                "disagreement has min_pairs"
            )

    @property
    def node_percent(self) -> float:
        """The share of stable's work that its canary nodes must be able to do."""
        return max(self.percent, self.shadow)


@dataclass(frozen=True, slots=True)
class Freeze:
    """From each time that `cron` names (five fields, in the IANA time zone `timezone`), for
    `seconds`, no version gets more traffic. Going back is always possible.

    Raises InvalidConfig; whether `cron` is one, its reader knows (adapters.plan_files)."""

    cron: str
    seconds: float
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= _YEAR_SECONDS:
            raise InvalidConfig("for: must be longer than nothing and at most 365 days")


@dataclass(frozen=True, slots=True)
class Plan:
    """Messages of InvalidConfig begin with the key as it stands in the file: `steps.1.percent: …`.

    `on_fail` and `on_inconclusive` say what a gate's verdict leads to. `start_deadline_seconds`
    is how long a step's nodes may take to become ready; `rollback_window_seconds` how long the
    replaced version stays warm. Where `consent` is required nobody is chosen at random: the
    steps' percentages then say only how many nodes the canary has. With `baseline`, live gates
    compare the canary with fresh nodes of the old version instead of with stable."""

    name: str
    steps: tuple[Step, ...]
    gates: tuple[ErrorRateGate, ...] = ()
    live_gates: tuple[LiveGate, ...] = ()
    shadow_gates: tuple[DisagreementGate, ...] = ()
    strain_gates: tuple[StrainGate, ...] = ()
    preference_gates: tuple[PreferenceGate, ...] = ()
    on_fail: OnFail = "rollback"
    on_inconclusive: OnInconclusive = "hold"
    promote: Promote = "manual"
    start_deadline_seconds: float = 300.0
    rollback_window_seconds: float = 3600.0
    eval_sets: tuple[str, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    consent: Consent = "none"
    load_check: LoadCheck | None = None  # before the first step
    baseline: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "plan")
        for name in self.eval_sets:
            check_name(name, "eval set")
        refuse_duplicates("eval_sets", self.eval_sets)
        self._check_steps()
        self._check_gates()
        self._check_baseline()
        if not 0 < self.start_deadline_seconds < math.inf:
            raise InvalidConfig("start_deadline: must be longer than nothing")
        if not 0 <= self.rollback_window_seconds <= _YEAR_SECONDS:
            raise InvalidConfig("rollback_window: must be from 0 to 365 days")

    def _check_steps(self) -> None:
        if not self.steps:
            raise InvalidConfig("steps: at least one step is needed")
        percents = [step.percent for step in self.steps]
        for index, (before, after) in enumerate(pairwise(self.steps), start=1):
            more_copies = after.percent == before.percent == 0 and after.shadow > before.shadow
            if after.percent <= before.percent and not more_copies:
                raise InvalidConfig(
                    f"steps.{index}.percent: {after.percent:g} does not exceed "
                    f"{before.percent:g} before it"
                )
        if percents[-1] != 100:
            raise InvalidConfig(
                f"steps.{len(percents) - 1}.percent: the last step must be 100, not "
                f"{percents[-1]:g}"
            )

    def _check_gates(self) -> None:
        refuse_duplicates("gates", [gate.name for gate in self.every_gate])
        if self.copy_gates and not any(step.shadow for step in self.steps):
            raise InvalidConfig(
                f"steps: gate {self.copy_gates[0].name} needs a step with `shadow`: without "
                f"copies nothing is heard by both versions"
            )
        listeners: tuple[Gate, ...] = (*self.gates, *self.preference_gates)
        if listeners and not self.eval_sets:
            raise InvalidConfig(f"eval_sets: gate {listeners[0].name} needs at least one")
        for index, gate in enumerate(self.gates):
            for name in gate.eval_sets:
                if name not in self.eval_sets:
                    raise InvalidConfig(
                        f"gates.{index}.eval_sets: {name!r} is not one of the plan's eval_sets "
                        f"({', '.join(self.eval_sets)})"
                    )

    def _check_baseline(self) -> None:
        if not self.baseline:
            return
        if not any(gate.compares for gate in self.live_gates):
            raise InvalidConfig(
                "baseline: no gate would compare with it; add one of kind success, empty, latency "
                "or real-time-factor, or leave it out"
            )
        if self.asks:
            raise InvalidConfig(
                "baseline: where consent is required nobody is chosen at random, so there is "
                "nothing to compare"
            )
        if not any(self.baseline_percent(step.percent) for step in self.steps):
            raise InvalidConfig(
                f"baseline: no step has a share of at most {MOST_SHARE_PERCENT:g} %; beyond it too "
                f"little is left to compare with"
            )
        for index, step in enumerate(self.steps):
            if step.shadow and self.baseline_percent(step.percent):
                raise InvalidConfig(
                    f"steps.{index}.shadow: the canary would do the work of copies beside its own, "
                    f"and the baseline would not; leave out one of the two"
                )

    def baseline_percent(self, percent: float) -> float:
        """The baseline's share beside a canary with `percent`: the same, as far as there is as
        much left; none where it would be too little to compare with."""
        if not self.baseline or percent > MOST_SHARE_PERCENT:
            return 0.0
        return min(percent, round(100 - percent, 1))

    @property
    def every_gate(self) -> tuple[Gate, ...]:
        """Those on eval sets, on live traffic, on copies of it, and on people's votes."""
        return (*self.gates, *self.live_gates, *self.copy_gates, *self.preference_gates)

    @property
    def copy_gates(self) -> tuple[DisagreementGate | StrainGate, ...]:
        """Those that need copies."""
        return (*self.shadow_gates, *self.strain_gates)

    @property
    def asks(self) -> bool:
        """Whether nobody gets the new version unasked."""
        return self.consent == "required"

    def share(self, step: Step) -> str:
        """Who gets the new version in a step; in words."""
        copies = f"copies of {step.shadow:g} % of stable's requests" if step.shadow else ""
        if step.percent == 0:
            return f"{copies}, no answers"
        share = "only who opted in" if self.asks else f"{step.percent:g} %"
        return f"{share}, {copies}" if copies else share

    def traffic_gates(self, step: Step) -> tuple[Gate, ...]:
        """Those that the traffic of this step is judged by."""
        live = self.live_gates if step.percent else ()
        return (*live, *self.copy_gates) if step.shadow else live

    def starting_at(self, percent: float) -> Plan:
        """The plan whose first step has `percent`; lower ones are skipped.

        The new step is else like the one it stands in for: the highest not above it."""
        below = [step for step in self.steps if step.percent <= percent]
        first = replace((below or self.steps)[-1 if below else 0], percent=percent)
        higher = tuple(step for step in self.steps[1:] if step.percent > percent)
        if not higher and percent < 100:  # a plan of the one step 100
            higher = self.steps[-1:]
        steps = (first, *higher)
        if any(step.shadow for step in steps):
            return replace(self, steps=steps)
        return replace(self, steps=steps, shadow_gates=(), strain_gates=())
