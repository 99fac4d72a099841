"""How many recordings decide a bound."""

from __future__ import annotations

import math
from typing import Final

from controller.core.comparison.student import NORMAL

_POWER: Final = 0.80


def required(margin: float, spread: float, confidence: float = 0.95, unseen: float = 0.0) -> int:
    """So many recordings let a version that is `margin` below the bound pass in 80 % of cases.

    `margin` and `spread` (the standard deviation of the difference, per recording) are in one
    unit; half the margin takes four times the recordings. `unseen`: what a recording that was not
    in the sample may add, in the same unit (`comparison.bootstrap`)."""
    power = NORMAL.inv_cdf(_POWER)
    return _solve(margin, (quantile(confidence) + power) * spread, unseen)


def decisive(margin: float, spread: float, confidence: float = 0.95, unseen: float = 0.0) -> int:
    """So many let the interval end before the bound, if the difference stays what it is."""
    return _solve(margin, quantile(confidence) * spread, unseen)


def quantile(confidence: float) -> float:
    """Two-sided: 1.96 for 0.95."""
    return NORMAL.inv_cdf((1 + confidence) / 2)


def _solve(margin: float, spread: float, unseen: float) -> int:
    """The n of `spread / sqrt(n) + unseen / n = margin`."""
    root = math.sqrt(spread**2 + 4 * unseen * margin)
    return math.ceil(((spread + root) / (2 * margin)) ** 2)
