"""A bound on how much of what stable heard a new version hears otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.core.errors import InvalidConfig
from controller.core.gate import Action, Form, check_confidence
from controller.core.names import check_name, refuse_duplicates

# Of the tokens (mer), or of the requests whose texts are not the same (ser).
Counting = Literal["mer", "ser"]


@dataclass(frozen=True, slots=True)
class DisagreementGate:
    """Between the two texts of a request at most `max_percent` of stable's tokens (or of the
    requests) may differ: overall and on each of `slices`. Nobody says who is right; a change for
    the better differs, too.

    It is judged from `min_pairs` pairs of `min_keys` sticky keys on. `confidence` is in percent,
    two-sided. `on_fail` and `on_inconclusive`: None is what the plan says. Raises InvalidConfig."""

    name: str = "disagreement"
    measure: Counting = "mer"
    form: Form = "written"
    max_percent: float = 5.0
    slices: tuple[str, ...] = ()
    min_pairs: int = 200
    min_keys: int = 10
    confidence: float = 95.0
    on_fail: Action | None = None
    on_inconclusive: Action | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if not 0 < self.max_percent < 100:
            raise InvalidConfig(f"max_percent: {self.max_percent:g} is not above 0 and below 100")
        if self.min_pairs < 20:
            raise InvalidConfig(f"min_pairs: {self.min_pairs} is fewer than 20")
        if self.min_keys < 5:
            raise InvalidConfig(f"min_keys: {self.min_keys} is fewer than 5")
        check_confidence(self.confidence)
        refuse_duplicates("slices", self.slices)

    @property
    def level(self) -> float:
        """The chance of a wrong pass, and of a wrong fail, over all looks: 0.025 for 95 %."""
        return (1 - self.confidence / 100) / 2
