"""A bound on what people prefer."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.errors import InvalidConfig
from controller.core.gate import Action
from controller.core.names import check_name


@dataclass(frozen=True, slots=True)
class PreferenceGate:
    """People may prefer the new version in surely no less than half of the pairs, less
    `margin_points` (percentage points: 10 allows 40 %).

    It takes `min_votes` votes on the random sample by `min_raters` people, and, where it is given,
    an agreement of `min_agreement` (Krippendorff's alpha, 1 is perfect, 0 is chance). `on_fail` and
    `on_inconclusive`: None is what the plan says. Raises InvalidConfig."""

    name: str = "preference"
    margin_points: float = 10.0
    min_votes: int = 50
    min_raters: int = 2
    min_agreement: float | None = None
    on_fail: Action | None = None
    on_inconclusive: Action | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if not 0 < self.margin_points < 50:
            raise InvalidConfig(f"margin_points: {self.margin_points:g} is not above 0, below 50")
        if self.min_votes < 1:
            raise InvalidConfig(f"min_votes: {self.min_votes} is fewer than 1")
        if self.min_raters < 1:
            raise InvalidConfig(f"min_raters: {self.min_raters} is fewer than 1")
        if self.min_agreement is None:
            return
        if not 0 <= self.min_agreement <= 1:
            raise InvalidConfig(f"min_agreement: {self.min_agreement:g} is not 0 to 1")
        if self.min_raters < 2:
            raise InvalidConfig("min_agreement: one rater agrees with nobody; min_raters: 2")

    @property
    def bound(self) -> float:
        """The share of preference that must be exceeded, as a ratio."""
        return 0.5 - self.margin_points / 100
