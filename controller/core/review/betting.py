"""The mean of scores between 0 and 1, with an interval that may be read after every vote.

Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B
86(1): against each possible mean somebody bets on the scores as they come, with stakes that depend
on earlier scores only (their "predictable plug-in"), half on more and half on less (their "hedged
capital"). Where the possible mean is the true one, the winnings exceed 1 / level with a chance of
at most `level`, ever (Ville 1939); what is not refuted so is the interval. People look at votes
while they come in and stop when they are content: an ordinary interval is wrong too often then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MEANS: Final = np.linspace(0.0, 1.0, 501)[1:-1]
_LARGEST_STAKE: Final = 0.5  # of what may be staked at all: nobody is ruined by one score

Floats = NDArray[np.float64]


def interval(scores: Sequence[float], level: float = 0.05) -> tuple[float, float]:
    """Within (0, 1) all that is not refuted at `level`; `scores` are in an order that does not
    depend on them. Nothing is known without scores: (0, 1)."""
    kept = _MEANS[_log_winnings(np.asarray(scores, np.float64), level) < np.log(1 / level)]
    step = 1 / (len(_MEANS) + 1)
    if not len(kept):  # finer than the grid
        mean = float(np.mean(scores))
        return mean, mean
    return max(0.0, float(kept[0]) - step), min(1.0, float(kept[-1]) + step)


def _log_winnings(scores: Floats, level: float) -> Floats:
    """For each of the means: half of the stake on "more", half on "less", with running maximum,
    since what is once refuted stays refuted."""
    staked = stakes(scores, level)[:, None]
    gains = scores[:, None] - _MEANS[None, :]
    more = np.cumsum(np.log1p(np.minimum(staked, _LARGEST_STAKE / _MEANS) * gains), axis=0)
    less = np.cumsum(np.log1p(-np.minimum(staked, _LARGEST_STAKE / (1 - _MEANS)) * gains), axis=0)
    either: Floats = np.maximum(more, less)
    best: Floats = np.max(either, axis=0, initial=0.0) - np.log(2)
    return best


def stakes(scores: Floats, level: float) -> Floats:
    """On each score, by those before it: larger where they varied less, smaller with time."""
    seen = np.arange(1, len(scores) + 1)
    means = (0.5 + np.cumsum(scores)) / (seen + 1)
    variances = (0.25 + np.cumsum((scores - means) ** 2)) / (seen + 1)
    before = np.concatenate([[0.25], variances[:-1]])[: len(scores)]
    staked: Floats = np.sqrt(2 * np.log(2 / level) / (before * seen * np.log1p(seen)))
    return staked
