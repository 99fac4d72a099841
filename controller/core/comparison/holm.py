"""Holm (1979), "A simple sequentially rejective multiple test procedure"."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p values adjusted for there being several, in the same order.

    Rejecting what is at or below a level keeps the chance of rejecting anything that is true at
    that level, however the tests depend on one another."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return tuple(adjusted)
