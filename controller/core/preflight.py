"""Preflight: what a version must show before it gets any traffic."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.errors import InvalidConfig
from controller.core.names import check_name


@dataclass(frozen=True, slots=True)
class LoadCheck:
    """The first `clips` recordings of `eval_set`, `concurrency` at a time, go to a node of the
    canary and to one of the old version in turn; the canary may take `max_slowdown` times as
    long, in throughput and in the 99th percentile. Raises InvalidConfig."""

    eval_set: str
    clips: int = 32
    concurrency: int = 4
    max_slowdown: float = 1.5

    def __post_init__(self) -> None:
        check_name(self.eval_set, "eval set")
        if self.clips < self.concurrency or self.concurrency < 1:
            raise InvalidConfig(
                f"concurrency: {self.concurrency} at a time of {self.clips} clips is not possible"
            )
        if self.max_slowdown <= 1:
            raise InvalidConfig(f"max_slowdown: {self.max_slowdown:g} is not above 1")


@dataclass(frozen=True, slots=True)
class Load:
    """What one node did with the clips, in one round: seconds of each request, and of all."""

    request_seconds: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Parity:
    """Canary against the old version; `reason` has the ratios: above 1 the canary takes longer."""

    reason: str
    passed: bool


def compare(check: LoadCheck, old: Sequence[Load], new: Sequence[Load]) -> Parity:
    """Medians over the rounds: one round that something else disturbed does not decide."""
    throughput = _median_ratio([load.seconds for load in old], [load.seconds for load in new])
    p99 = _median_ratio(
        [_p99(load.request_seconds) for load in old], [_p99(load.request_seconds) for load in new]
    )
    passed = max(throughput, p99) <= check.max_slowdown
    reason = (
        f"the same {check.clips} clips of {check.eval_set}, {check.concurrency} at a time, take "
        f"{throughput:.2f} times as long as with the old version, the slowest {p99:.2f} times; "
        f"{check.max_slowdown:g} are allowed"
    )
    return Parity(reason, passed)


def _median_ratio(old: Sequence[float], new: Sequence[float]) -> float:
    return statistics.median(new) / max(statistics.median(old), 1e-9)


def _p99(seconds: Sequence[float]) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
