"""What is kept of one pool: each key's requests and bad ones, and the sums that intervals need."""

from __future__ import annotations

import math
from typing import Any, Final

_FEWEST_KEYS: Final = 2
_TIGHT_AT_KEYS: Final = 50  # where the interval is tightest


class PoolCounts:
    """Counts by key; sums over keys are kept up with each request, so that reading is cheap."""

    def __init__(self) -> None:
        self._by_key: dict[str, tuple[int, int]] = {}
        self.requests = 0
        self.events = 0
        self._squares = [0, 0, 0]  # sums over keys of events², events x requests, requests²

    def of(self, key: str, most_keys: int) -> tuple[int, int] | None:
        """Requests and bad ones of `key`; None where it would be one key too many."""
        if key in self._by_key:
            return self._by_key[key]
        return (0, 0) if len(self._by_key) < most_keys else None

    def count(self, key: str, event: bool) -> None:
        requests, events = self._by_key.get(key, (0, 0))
        self._by_key[key] = (requests + 1, events + event)
        self.requests += 1
        self.events += event
        self._squares[0] += (2 * events + 1) * event
        self._squares[1] += events + (requests + 1) * event
        self._squares[2] += 2 * requests + 1

    @property
    def keys(self) -> int:
        return len(self._by_key)

    @property
    def rate(self) -> float:
        return self.events / self.requests if self.requests else 0.0

    @property
    def variance(self) -> float:
        """Of the rate, with keys as clusters (linearised ratio); never less than independent
        requests would have, one of them bad: what was not seen yet has no variance."""
        rate, (ff, fn, nn) = self.rate, self._squares
        between = (ff - 2 * rate * fn + rate * rate * nn) / self.requests**2
        believed = (self.events + 1) / (self.requests + 2)
        return max(between * self.keys / (self.keys - 1), believed * (1 - believed) / self.requests)

    def to_json(self) -> dict[str, Any]:
        return {"keys": {key: list(counts) for key, counts in self._by_key.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PoolCounts:
        counts = cls()
        counts._by_key = {key: (n, f) for key, (n, f) in value["keys"].items()}
        by_key = counts._by_key.values()
        counts.requests = sum(n for n, _ in by_key)
        counts.events = sum(f for _, f in by_key)
        counts._squares = [
            sum(f * f for _, f in by_key),
            sum(f * n for n, f in by_key),
            sum(n * n for n, _ in by_key),
        ]
        return counts


def interval(stable: PoolCounts, canary: PoolCounts, error: float = 0.05) -> tuple[float, float]:
    """Of the canary's rate less stable's (ratios), valid whenever it is read: the asymptotic
    confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), keys as units.
    (-1, 1), nothing known, below two keys in either pool."""
    if min(stable.keys, canary.keys) < _FEWEST_KEYS:
        return -1.0, 1.0
    spread = math.sqrt(stable.variance + canary.variance)
    tuning = (-2 * math.log(error) + math.log(1 - 2 * math.log(error))) / _TIGHT_AT_KEYS
    time = canary.keys * tuning
    width = spread * math.sqrt(2 * (time + 1) / time * math.log(math.sqrt(time + 1) / error))
    difference = canary.rate - stable.rate
    return max(-1.0, difference - width), min(1.0, difference + width)
