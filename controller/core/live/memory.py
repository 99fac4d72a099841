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
_BETS: Final = (0.1, 0.3, 0.5, 0.7)  # exponents of the power martingale


class MemoryTrend:
    """Of one memory of one node."""

    def __init__(self) -> None:
        self.limit_bytes = 0.0
        self.evidence = 0.0  # log; the most that was reached
        self._began: float | None = None
        self._block = 0
        self._samples: list[float] = []
        self._medians: list[float] = []
        self._sorted: list[float] = []
        self._logs = [0.0] * len(_BETS)

    def observe(self, at: float, used_bytes: float, limit_bytes: float) -> None:
        """A sample at Unix time `at`, in order."""
        self.limit_bytes = limit_bytes
        if self._began is None:
            self._began = at
        block = math.floor((at - self._began - SETTLE_SECONDS) / BLOCK_SECONDS)
        if block > self._block and self._samples:
            self._close()
        self._block = block
        if block >= 0:
            self._samples.append(used_bytes)

    def _close(self) -> None:
        median = statistics.median(self._samples)
        self._samples = []
        if len(self._medians) >= _MOST_BLOCKS:
            return
        bisect.insort(self._sorted, median)
        self._medians.append(median)
        as_high = len(self._sorted) - bisect.bisect_left(self._sorted, median)
        rank = math.log(as_high / len(self._sorted))
        for i, bet in enumerate(_BETS):
            self._logs[i] += math.log(bet) + (bet - 1) * rank
        most = max(self._logs)
        mean = sum(math.exp(log - most) for log in self._logs) / len(_BETS)
        self.evidence = max(self.evidence, most + math.log(mean))

    @property
    def blocks(self) -> int:
        return len(self._medians)

    @property
    def bytes_per_hour(self) -> float:
        """Least squares over all blocks."""
        if self.blocks < 2:
            return 0.0
        return statistics.linear_regression(range(self.blocks), self._medians).slope * (
            3600 / BLOCK_SECONDS
        )

    @property
    def hours_left(self) -> float:
        """Until the memory is full at this pace."""
        slope = self.bytes_per_hour
        left = self.limit_bytes - self._medians[-1] if self._medians else math.inf
        return max(0.0, left) / slope if slope > 0 else math.inf

    def to_json(self) -> dict[str, Any]:
        return {
            "limit_bytes": self.limit_bytes,
            "evidence": self.evidence,
            "began": self._began,
            "block": self._block,
            "samples": self._samples,
            "medians": self._medians,
            "logs": self._logs,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> MemoryTrend:
        trend = cls()
        trend.limit_bytes, trend.evidence = value["limit_bytes"], value["evidence"]
        trend._began, trend._block = value["began"], value["block"]
        trend._samples, trend._logs = list(value["samples"]), list(value["logs"])
        trend._medians = list(value["medians"])
        trend._sorted = sorted(trend._medians)
        return trend
