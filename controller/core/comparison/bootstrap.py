"""Paired bootstrap of the difference between two error rates.

Bisani & Ney (2004), "Bootstrap estimates for confidence intervals in ASR performance
evaluation": recordings are drawn with replacement, each with what both versions made of it, and
the rates are computed anew. Recordings that are alike (of one speaker, of one call) are drawn
together, as a block.

Two known weaknesses are mended. Percentile intervals of few blocks are too narrow: they are
expanded as Student's t is wider than the normal (Hesterberg 2015, "What teachers should know
about the bootstrap"). And what did not occur has no variance: so the upper end supposes one
block more on which the second version is worse, the lower end one on which it is better, as the
exact limit of a Poisson count supposes one event more. How much worse: as the largest difference
that was seen, or as a wrong block is on average, with one block lost whole counted in, if that is
more. So nothing is certain where nothing was seen.

Coverage of what is nominally 95 %: docs/verdict.md."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.core.comparison.student import NORMAL, t_from_z, z_from_t

Floats = NDArray[np.float64]
RESAMPLES: Final = 10_000
_CELLS_AT_ONCE: Final = 500_000  # weights held in memory: 2 MB as float32
_FLOAT32_EXACT: Final = 2**24  # whole numbers below are exact in float32


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What resampling says of `estimate`: the sum of differences over the sum of bases.

    `lower` and `upper` are the resampled ratios, sorted, with one unseen block in favour of
    either version; `error` is the standard error. Of ratios: 0.05 is 5 %."""

    estimate: float
    error: float
    improvement: float
    blocks: int
    lower: Floats
    upper: Floats

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided: with `confidence` 0.95, each end errs in 2.5 %."""
        tail = self._expanded((1 - confidence) / 2)
        low = np.quantile(self.lower, tail, method="lower")  # of resamples, not between them
        return float(low), float(np.quantile(self.upper, 1 - tail, method="higher"))

    def p_at_most(self, bound: float) -> float:
        """One-sided p value of "the difference is at most `bound`": small where it is more."""
        return self._shrunk(int(np.searchsorted(self.lower, bound, side="right")))

    def p_above(self, bound: float) -> float:
        """One-sided p value of "the difference is above `bound`": small where it is not."""
        return self._shrunk(len(self.upper) - int(np.searchsorted(self.upper, bound, "right")))

    def _expanded(self, tail: float) -> float:
        """The nominal tail at which resamples are to be cut for a true one of `tail`."""
        n = self.blocks
        t = t_from_z(NORMAL.inv_cdf(tail), max(1, n - 1))
        return NORMAL.cdf(t * math.sqrt(n / max(1, n - 1)))

    def _shrunk(self, count: int) -> float:
        """The inverse of `_expanded` for a share of resamples, which is never zero (Davison &
        Hinkley 1997, 4.2)."""
        n = self.blocks
        share = (count + 1) / (len(self.lower) + 2)
        t = NORMAL.inv_cdf(share) * math.sqrt(max(1, n - 1) / n)
        return NORMAL.cdf(z_from_t(t, max(1, n - 1)))


def paired_bootstrap(
    stable: Floats,
    canary: Floats,
    lengths: Floats,
    relative: bool = False,
    resamples: int = RESAMPLES,
) -> Bootstrap:
    """Resample the difference of both versions' rates; an entry is one block.

    `stable` and `canary` are counts of errors, `lengths` those of the references. `relative`: as a
    share of stable's errors. The seed is made of the data: the same data give the same answer, and
    swapping the versions mirrors it (but a relative one). Raises ValueError without any block."""
    n = len(lengths)
    if n == 0:
        raise ValueError("nothing to resample")
    difference, bases = canary - stable, stable if relative else lengths
    random = np.random.default_rng(_seed(difference, bases))
    changes, totals = _resampled(np.column_stack((difference, bases)), resamples, random)
    unseen = random.poisson(1.0, resamples)
    more, base = unseen * unseen_errors(stable, canary, lengths), unseen * np.mean(bases)
    return Bootstrap(
        estimate=float(np.sum(difference) / max(1.0, np.sum(bases))),
        error=float(np.std(_ratio(changes, totals))),
        improvement=float(np.mean(changes < 0) + np.mean(changes == 0) / 2),
        blocks=n,
        lower=np.sort(_ratio(changes - more, totals + base)),
        upper=np.sort(_ratio(changes + more, totals + base)),
    )


def in_blocks(values: Floats, blocks: NDArray[np.intp]) -> Floats:
    """The sums of `values` per block; `blocks` numbers them from 0."""
    return np.bincount(blocks, weights=values).astype(np.float64)


def _resampled(
    columns: Floats, resamples: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """The sums of both columns over each resample of the rows.

    How often a row was drawn is its weight: counting and one product of matrices is faster than
    gathering the rows."""
    n = len(columns)
    exact = n * float(np.max(np.abs(columns))) < _FLOAT32_EXACT
    values = columns.astype(np.float32 if exact else np.float64)
    sums = np.empty((resamples, columns.shape[1]))
    at_once = max(1, _CELLS_AT_ONCE // n)
    weights = np.empty((at_once, n), values.dtype)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(n, size=(rows, n), dtype=np.uint16 if n < 2**16 else np.uint32)
        for weight, row in zip(weights, drawn, strict=False):
            weight[:] = np.bincount(row, minlength=n)
        sums[start : start + rows] = weights[:rows] @ values
    return sums[:, 0], sums[:, 1]


def unseen_errors(stable: Floats, canary: Floats, lengths: Floats) -> float:
    """How many errors more or fewer a block may bring that was not in the sample."""
    wrong = np.concatenate((stable, canary))
    wrong = wrong[wrong > 0]
    usual = (np.sum(wrong) + np.mean(lengths)) / (len(wrong) + 1)
    return float(max(usual, np.max(np.abs(canary - stable))))


def _ratio(change: Floats, base: Floats) -> Floats:
    """As rates are counted (`scoring.Errors`): without a base, the errors themselves."""
    return change / np.maximum(base, 1.0)


def _seed(difference: Floats, bases: Floats) -> int:
    data = np.concatenate((np.abs(difference), bases)).astype("<f8").tobytes()
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
