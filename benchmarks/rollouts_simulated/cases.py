"""The cases that can be seen in requests: by users, requests/s and fault, ours beside the peers'.

Every number is per rollout, and on the same requests for all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from benchmarks.rollouts_simulated.ours import Decided
from benchmarks.rollouts_simulated.peers import PEERS, SLOW_SHARE, Ended, Intervals, Peer, end, tune
from benchmarks.rollouts_simulated.simulation import Outcome, served_bad, simulate
from benchmarks.rollouts_simulated.traffic import Fault, Ints

USERS: Final = (40, 400, 4000)
RATES: Final = (1, 10, 100)
# 24 h at 1 request/s; at higher rates what 120,000 requests last: 3 h 20 min and 20 min.
REQUESTS: Final = 120_000
SECONDS: Final = {1: 86_400, 10: 12_000, 100: 1_200}
SHAPES: Final = ("lognormal", "two kinds")
SHAPES_REQUESTS: Final = 36_000
_BAD_START_SECONDS: Final = 600
_WORSE: Final = 1 - 0.97 / 0.99  # of those that would have succeeded


@dataclass(frozen=True, slots=True)
class Row:
    """One fault at one traffic. Shares are ratios, `seconds` and `requests` (the canary's) means
    until our rollback; `bad` answers are means over all rollouts. `shipped` and `tuned` by peer."""

    users: int
    rate: int
    case: str
    rolled_back: float
    requests: float | None
    seconds: float | None
    bad: float
    shipped: dict[str, tuple[float, float]]
    tuned: dict[str, tuple[float, float]]

    def ratio(self, peer: str) -> float | None:
        """Of bad answers, ours to the tuned peer's; None where the peer does not see the case:
        where it rolls back fewer than half."""
        rolled_back, bad = self.tuned.get(peer, (0.0, 0.0))
        return self.bad / bad if rolled_back >= 0.5 and bad else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def rows_of(users: int, rollouts: int, seed: int, requests: int = REQUESTS) -> list[Row]:
    """All faults at all rates; at least 2,400 `requests` a rollout (fewer only for a test)."""
    seconds = {rate: min(s, requests // rate) // 60 * 60 for rate, s in SECONDS.items()}
    equal = simulate(seed, rollouts, users, requests, Fault(), latency=True)
    rows = [_row(users, rate, s, "equal", equal, equal) for rate, s in seconds.items()]
    for number, (case, fault) in enumerate(
        (("+2 % errors", Fault(_WORSE)), ("p95 x1.5", Fault(slowdown=1.5))), start=1
    ):
        slow = fault.slowdown != 1
        worse = simulate(seed + number, rollouts, users, requests, fault, latency=slow)
        rows += [_row(users, rate, s, case, worse, equal) for rate, s in seconds.items()]
    return rows + _bad_starts(users, rollouts, seed, equal, seconds)


def _bad_starts(
    users: int, rollouts: int, seed: int, equal: Outcome, seconds: dict[int, int]
) -> list[Row]:
    """A fifth of the canary's requests fails in its first ten minutes; judged for twenty."""
    rows = []
    for rate, traced in seconds.items():
        lasts = min(2 * _BAD_START_SECONDS, traced)
        fault = Fault(extra=0.2, until=rate * lasts // 2)
        bad = simulate(seed + 10 + rate, rollouts, users, rate * lasts, fault)
        rows.append(_row(users, rate, lasts, "bad start", bad, equal, traced))
    return rows


def _row(
    users: int,
    rate: int,
    seconds: int,
    case: str,
    worse: Outcome,
    equal: Outcome,
    equal_seconds: int | None = None,
) -> Row:
    slow = worse.latency is not None and case != "equal"
    name = "slow" if slow else "failed"
    decided = _decided(worse, case)
    found = (decided.requests >= 0) & (decided.requests <= rate * seconds)
    bad = served_bad(decided, getattr(worse, name), rate, seconds)
    seen = _intervals(worse, rate, seconds, name, name)
    reference = _intervals(equal, rate, equal_seconds or seconds, name, name)
    return Row(
        users=users,
        rate=rate,
        case=case,
        rolled_back=float(found.mean()),
        requests=_mean(decided.canary_requests[found]),
        seconds=_mean(decided.requests[found] / rate),
        bad=float(bad.mean()),
        shipped={peer.name: _summary(_shipped(peer, worse, rate, seconds, seen)) for peer in PEERS},
        tuned={} if case == "equal" else _tuned(reference, seen),
    )


def _decided(outcome: Outcome, case: str) -> Decided:
    """By the test of the fault; of an equal version, by either test."""
    if outcome.latency is None:
        return outcome.success
    if case != "equal":
        return outcome.latency
    either = outcome.success
    only = either.requests < 0
    return Decided(
        np.where(only, outcome.latency.requests, either.requests),
        np.where(only, outcome.latency.canary_requests, either.canary_requests),
        np.where(only, 0, either.bad),
    )


def _intervals(outcome: Outcome, rate: int, seconds: int, bad: str, judged: str) -> Intervals:
    def of(name: str) -> Ints:
        return outcome.per_interval(getattr(outcome, name), rate, seconds)

    return Intervals(of("requests"), of(bad), of(judged))


def _shipped(peer: Peer, outcome: Outcome, rate: int, seconds: int, seen: Intervals) -> Ended:
    """Both of its checks, where times were made; no requests are a failed check."""
    failed = _intervals(outcome, rate, seconds, "failed", "failed").failed(peer.shipped_share)
    if outcome.latency is not None:
        failed |= _intervals(outcome, rate, seconds, "slow", "slower").failed(SLOW_SHARE)
    return end(peer, seen, failed | (seen.requests == 0), peer.shipped_count)


def _tuned(equal: Intervals, seen: Intervals) -> dict[str, tuple[float, float]]:
    found = {}
    for peer in PEERS:
        choice = tune(peer, equal, seen)
        if choice is not None:
            share, count = choice
            found[peer.name] = _summary(end(peer, seen, seen.failed(share), count))
    return found


def _summary(ended: Ended) -> tuple[float, float]:
    return ended.rolled_back, float(ended.bad.mean())


def _mean(values: Ints) -> float | None:
    return float(values.mean()) if len(values) else None


def false_by_shape(
    users: int, rollouts: int, seed: int, requests: int = SHAPES_REQUESTS
) -> dict[str, float]:
    """False rollbacks where the users' own error rates have another shape."""
    found = {}
    for number, shape in enumerate(SHAPES, start=20):
        equal = simulate(seed + number, rollouts, users, requests, Fault(), shape, bins=False)
        found[shape] = float((equal.success.requests >= 0).mean())
    return found


def false_at_half(users: int, rollouts: int, seed: int, requests: int = SHAPES_REQUESTS) -> float:
    """False rollbacks, by either test, where the canary has half of the users from the start."""
    equal = simulate(
        seed + 40, rollouts, users, requests, Fault(), latency=True, bins=False, share=0.5
    )
    return float((_decided(equal, "equal").requests >= 0).mean())


def passed_at_margin(
    users: int, rollouts: int, seed: int, requests: int = SHAPES_REQUESTS
) -> float:
    """Versions worse by just the margin (1 point) that the promoting test let pass."""
    worse = simulate(seed + 30, rollouts, users, requests, Fault(0.0101), bins=False)
    return float((worse.success_within.requests >= 0).mean())
