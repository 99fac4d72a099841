"""What Flagger and Argo Rollouts would have decided, from the same requests.

Flagger (pkg/controller/scheduler.go, scheduler_metrics.go): each interval the canary's success
rate of that interval is held against a threshold; a check that fails adds one to FailedChecks,
which no good check takes back; at `threshold` of them it rolls back, at the beginning of the next
interval. No requests in an interval is a failed check.

Argo Rollouts (analysis/analysis.go): likewise, but the rollout ends as soon as failed measurements
exceed failureLimit (default 0). No requests divide 0 by 0, and NaN is no success.

As shipped: the thresholds of their documentation (Flagger: at least 99 %, threshold 5; Argo: at
least 95 %, failureLimit 0), and a p95 of at most 1.25 times stable's, each 60 seconds.

Tuned: for each traffic and each fault anew, of all thresholds and counts those with the fewest bad
answers among all that roll back at most 1 % of equal versions in these very traces; intervals
without requests are left out. That is more than any operator could know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.rollouts_simulated.traffic import Bools, Floats, Ints

FALSE_ROLLBACKS: Final = 0.01
_SHARES: Final = (
    *(0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12),
    *(0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99),
)
_COUNTS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300)


@dataclass(frozen=True, slots=True)
class Peer:
    """`delay`: intervals between the last failed check and the rollback."""

    name: str
    shipped_share: float  # of requests that may fail
    shipped_count: int  # failed checks that end the rollout
    delay: int


PEERS: Final = (Peer("Flagger", 0.01, 5, delay=1), Peer("Argo", 0.05, 1, delay=0))
SLOW_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Intervals:
    """Of the canary, by rollout and interval of 60 seconds."""

    requests: Ints
    bad: Ints  # what is counted as bad answers
    judged: Ints  # what the peer's check sees

    def failed(self, share: float) -> Bools:
        """Checks that fail where more than `share` of the requests may not be bad."""
        return self.judged > share * self.requests


@dataclass(frozen=True, slots=True)
class Ended:
    """`rolled_back` share of the rollouts; `bad` answers of each served before."""

    rolled_back: float
    bad: Floats
    intervals: Floats  # until the rollback, of those rolled back


def end(peer: Peer, intervals: Intervals, failed: Bools, count: int) -> Ended:
    """Once `count` checks have failed."""
    total = np.cumsum(failed, axis=1)
    reached = total >= count
    at = np.where(reached[:, -1], reached.argmax(axis=1), failed.shape[1]) + peer.delay
    bad = np.cumsum(intervals.bad, axis=1)
    served = bad[np.arange(len(bad)), np.minimum(at, failed.shape[1] - 1)]
    stopped = reached[:, -1]
    return Ended(float(stopped.mean()), served, at[stopped] + 1.0)


def tune(peer: Peer, equal: Intervals, worse: Intervals) -> tuple[float, int] | None:
    """Share and count; None where nothing keeps equal versions."""
    best, choice = np.inf, None
    for share in _SHARES:
        total = np.cumsum(equal.failed(share), axis=1)[:, -1]
        for count in _COUNTS:
            if (total >= count).mean() > FALSE_ROLLBACKS:
                continue
            bad = float(end(peer, worse, worse.failed(share), count).bad.mean())
            if bad < best:
                best, choice = bad, (share, count)
            break  # higher counts only serve more
    return choice
