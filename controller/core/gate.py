"""A gate: a bound on one measurement, and what its verdict leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from controller.core.errors import InvalidConfig
from controller.core.names import check_name, refuse_duplicates

# Error rates of characters, words, both mixed (characters for Han and kana), whole sentences.
Measure = Literal["cer", "wer", "mer", "ser"]
# Numbers compared as they are written, or by value (10086 is 一零零八六).
Form = Literal["written", "numbers"]
# What a verdict leads to: back to the old version, a person decides, or it is only told.
Action = Literal["rollback", "hold", "continue"]

_CONFIDENCE: Final = (80.0, 99.9)


@dataclass(frozen=True, slots=True)
class ErrorRateGate:
    """The error rate may rise by at most `max_increase_points` (percentage points) or, instead,
    `max_increase_percent` (of stable's rate).

    It must hold overall, on each of `eval_sets` (empty means all of the plan's) and on each of
    `slices`: the recordings with that tag. `confidence` is in percent, two-sided. `on_fail` and
    `on_inconclusive`: None is what the plan says. Raises InvalidConfig."""

    name: str = "error-rate"
    measure: Measure = "cer"
    max_increase_points: float | None = 1.0
    eval_sets: tuple[str, ...] = ()
    max_increase_percent: float | None = None
    form: Form = "written"
    slices: tuple[str, ...] = ()
    confidence: float = 95.0
    on_fail: Action | None = None
    on_inconclusive: Action | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if (self.max_increase_points is None) == (self.max_increase_percent is None):
            raise InvalidConfig(
                "max_increase_percent: give either this or max_increase_points, not both"
            )
        _check_bound("max_increase_points", self.max_increase_points)
        _check_bound("max_increase_percent", self.max_increase_percent)
        check_confidence(self.confidence)
        refuse_duplicates("eval_sets", self.eval_sets)
        refuse_duplicates("slices", self.slices)

    @property
    def is_relative(self) -> bool:
        """Whether the bound is a share of stable's rate."""
        return self.max_increase_percent is not None

    @property
    def bound(self) -> float:
        """As a ratio: 0.01 is a point, or 1 % of stable's rate."""
        return (self.max_increase_percent or self.max_increase_points or 0.0) / 100

    @property
    def allowed(self) -> str:
        """The bound in words: `0.5 points`, `10 %`."""
        if self.is_relative:
            return f"{self.max_increase_percent:g} %"
        return f"{self.max_increase_points:g} points"

    @property
    def level(self) -> float:
        """The chance of a wrong pass, and of a wrong fail, at the bound: 0.025 for 95 %."""
        return (1 - self.confidence / 100) / 2


def check_confidence(percent: float) -> None:
    """Raises InvalidConfig: with less nothing is shown, more takes too many recordings."""
    low, high = _CONFIDENCE
    if not low <= percent <= high:
        raise InvalidConfig(f"confidence: {percent:g} is not {low:g} to {high:g} (%)")


def _check_bound(key: str, value: float | None) -> None:
    if value is not None and not 0 < value <= 100:  # no number of recordings could prove 0
        raise InvalidConfig(f"{key}: {value:g} is not above 0 and up to 100")
