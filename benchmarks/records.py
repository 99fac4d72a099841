"""What a load generator notes of each request, and the numbers made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One request as its client saw it: `start` and `end` in seconds since the epoch. `status`
    is 0 and `error` says why where no whole answer came; `reused` tells a kept connection."""

    client: int
    start: float
    end: float
    status: int = 0
    version: str = ""
    node: str = ""
    error: str = ""
    reused: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300 and not self.error

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def to_line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Record:
        return cls(**json.loads(line))


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Requests, failures and latencies in seconds, overall and by the version that answered."""
    versions = sorted({record.version for record in records if record.ok})
    return _numbers(records) | {
        "versions": {v: _numbers([r for r in records if r.version == v]) for v in versions},
        "errors": _errors(records),
    }


def _numbers(records: Sequence[Record]) -> dict[str, Any]:
    seconds = [record.seconds for record in records if record.ok]
    return {
        "requests": len(records),
        "failed": sum(not record.ok for record in records),
        "p50": round(percentile(seconds, 50), 4),
        "p99": round(percentile(seconds, 99), 4),
        "max": round(max(seconds, default=0.0), 4),
    }


def _errors(records: Iterable[Record]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        if not record.ok:
            what = record.error or f"status {record.status}"
            counts[what] = counts.get(what, 0) + 1
    return counts


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was really measured. 0.0 where there is none."""
    if not values:
        return 0.0
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def share_error_points(canary: int, total: int, asked_percent: float) -> float:
    """How far the canary's share is from what was asked, in percentage points."""
    return abs(100 * canary / total - asked_percent) if total else math.inf
