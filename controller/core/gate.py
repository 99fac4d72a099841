"""A gate: a bound on one measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.core.errors import InvalidConfig
from controller.core.names import check_name, refuse_duplicates

# Error rates of characters, words, both mixed (characters for Han and kana), whole sentences.
Measure = Literal["cer", "wer", "mer", "ser"]
# Numbers compared as they are written, or by value (10086 is 一零零八六).
Form = Literal["written", "numbers"]


@dataclass(frozen=True, slots=True)
class ErrorRateGate:
    """The error rate may rise by at most `max_increase_points` (percentage points), overall
    and on each of `eval_sets`; empty means all of the plan's. Raises InvalidConfig."""

    name: str = "error-rate"
    measure: Measure = "cer"
    max_increase_points: float = 1.0
    eval_sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if not 0 < self.max_increase_points <= 100:  # 0 could be passed by no number of samples
            raise InvalidConfig(
                f"max_increase_points: {self.max_increase_points:g} is not above 0 and up to 100"
            )
        refuse_duplicates("eval_sets", self.eval_sets)
