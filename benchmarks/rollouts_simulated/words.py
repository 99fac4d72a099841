"""What no peer can see: a canary that hears half a point more characters wrong.

Live requests have no references, so it is the paired comparison on an eval set that tells, before
any user is served. Listed beside the others, never summed with them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.comparison.bootstrap import paired_bootstrap

UTTERANCES: Final = 4_000
_CHARACTERS: Final = 10
_BOUND: Final = 0.003  # "CER may rise by at most 0.3 points, at 95 %"
# An utterance's errors change by one, up or down: 3.6 points, the demo models' spread.
_CHANGED: Final = 0.13
_RESAMPLES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Words:
    """Shares of the verdicts over many evaluations."""

    failed: float
    passed: float


def judge_words(seed: int, evaluations: int, rise: float) -> Words:
    """`rise` of the error rate (a ratio: 0.005 is half a point)."""
    rng = np.random.default_rng([seed, 77])
    rises = rise * _CHARACTERS
    failed = passed = 0
    lengths = np.full(UTTERANCES, float(_CHARACTERS))
    for _ in range(evaluations):
        stable = 1.0 + rng.integers(0, 2, UTTERANCES)
        draw = rng.random(UTTERANCES)
        up, changed = (_CHANGED + rises) / 2, _CHANGED
        canary = stable + np.where(draw < up, 1.0, np.where(draw < changed, -1.0, 0.0))
        low, high = paired_bootstrap(stable, canary, lengths, resamples=_RESAMPLES).interval(0.95)
        failed += low > _BOUND
        passed += high <= _BOUND
    return Words(failed / evaluations, passed / evaluations)


def bootstrap_seconds(rounds: int) -> float:
    """10,000 utterances, 10,000 resamples, one core: the best of `rounds`."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 40, 10_000).astype(np.float64)
    stable = rng.binomial(lengths.astype(np.int64), 0.05).astype(np.float64)
    canary = rng.binomial(lengths.astype(np.int64), 0.05).astype(np.float64)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        paired_bootstrap(stable, canary, lengths)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
