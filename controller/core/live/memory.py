"""Does a node's memory, of a GPU or of its machine, creep up until it is full?

Medians of five minutes are taken after the node has settled. Without a leak their order is any
order, so the rank of each among those before it is uniform, and bets on high ranks make a
martingale: a conformal test of exchangeability (Vovk, Gammerman & Shafer 2005), readable at any
time. A trend alone is no harm: it fails only where it would fill the memory within
`HORIZON_HOURS`."""

from __future__ import annotations

import bisect
import math
import statistics
from typing import Any, Final

HORIZON_HOURS: Final = 72.0
SETTLE_SECONDS: Final = 1800.0  # caches and allocators fill up after a start
BLOCK_SECONDS: Final = 300.0
MINIMUM_BLOCKS: Final = 24
_MOST_BLOCKS: Final = 2016  # a week
_LIMIT_BLOCKS: Final = 12  # an hour
_BETS: Final = (0.1, 0.3, 0.5, 0.7)  # exponents of the power martingale


class MemoryTrend:
    """Of one memory of one node."""

    def __init__(self) -> None:
        self.limit_bytes = 0.0  # median of the last hour: others may hold much for a moment
        self.bytes_per_hour = 0.0  # least squares over the last week's blocks
        self.evidence = 0.0  # log; the most that was reached
        self._began: float | None = None
        self._block = 0
        self._samples: list[tuple[float, float]] = []  # used, limit
        self._medians: list[float] = []
        self._limits: list[float] = []
        self._sorted: list[float] = []  # the last of the medians: those that are ranked
        self._logs = [0.0] * len(_BETS)

    def observe(self, at: float, used_bytes: float, limit_bytes: float) -> None:
        """A sample at Unix time `at`, in order."""
        if self._began is None:
            self._began = at
        block = math.floor((at - self._began - SETTLE_SECONDS) / BLOCK_SECONDS)
        if block > self._block and self._samples:
            self._close()
        self._block = block
        if block >= 0:
            self._samples.append((used_bytes, limit_bytes))

    def _close(self) -> None:
        used, limits = zip(*self._samples, strict=True)
        self._samples = []
        median = statistics.median(used)
        self._medians = [*self._medians, median][-_MOST_BLOCKS:]
        self._limits = [*self._limits, statistics.median(limits)][-_LIMIT_BLOCKS:]
        self._bet(median)
        self._measure()

    def _bet(self, median: float) -> None:
        """After a week ranks begin anew: whatever was before, without a leak what comes is in any
        order, too. Among the last of a longer series a rank would depend on those before it."""
        if len(self._sorted) >= _MOST_BLOCKS:
            self._sorted = []
        bisect.insort(self._sorted, median)
        as_high = len(self._sorted) - bisect.bisect_left(self._sorted, median)
        rank = math.log(as_high / len(self._sorted))
        for i, bet in enumerate(_BETS):
            self._logs[i] += math.log(bet) + (bet - 1) * rank
        most = max(self._logs)
        mean = sum(math.exp(log - most) for log in self._logs) / len(_BETS)
        self.evidence = max(self.evidence, most + math.log(mean))

    def _measure(self) -> None:
        """When a block is closed, for all looks until the next one."""
        if self._limits:
            self.limit_bytes = statistics.median(self._limits)
        if self.blocks > 1:
            per_block = statistics.linear_regression(range(self.blocks), self._medians).slope
            self.bytes_per_hour = per_block * 3600 / BLOCK_SECONDS

    @property
    def blocks(self) -> int:
        return len(self._medians)

    @property
    def hours_left(self) -> float:
        """Until the memory is full at this pace."""
        if not self._medians or self.bytes_per_hour <= 0:
            return math.inf
        return max(0.0, self.limit_bytes - self._medians[-1]) / self.bytes_per_hour

    def to_json(self) -> dict[str, Any]:
        return {
            "evidence": self.evidence,
            "began": self._began,
            "block": self._block,
            "samples": self._samples,
            "medians": self._medians,
            "limits": self._limits,
            "ranked": len(self._sorted),
            "logs": self._logs,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> MemoryTrend:
        trend = cls()
        trend.evidence, trend._logs = value["evidence"], list(value["logs"])
        trend._began, trend._block = value["began"], value["block"]
        trend._samples = [(used, limit) for used, limit in value["samples"]]
        trend._medians, trend._limits = list(value["medians"]), list(value["limits"])
        trend._sorted = sorted(trend._medians[trend.blocks - value["ranked"] :])
        trend._measure()
        return trend
