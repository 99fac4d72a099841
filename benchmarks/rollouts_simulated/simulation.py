"""One kind of canary, many rollouts: what we decide, and what the peers would have counted.

The same requests serve for 1, 10 and 100 requests/s: only the clock differs, and with it how many
requests an interval of 60 s holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.rollouts_simulated.ours import Decided, EventTests
from benchmarks.rollouts_simulated.traffic import CHUNK, SHARE, Chunk, Fault, Ints, Traffic
from controller.core.live.event_test import STRETCHED
from controller.core.live.gate import FAIL_BUDGET, Kind

_BIN: Final = 60  # requests: an interval of 60 s at 1 request/s
_BATCH: Final = 1000  # rollouts at a time


@dataclass(slots=True)
class Outcome:
    """Of many rollouts. Bins hold `_BIN` requests of a rollout, of them the canary's."""

    success: Decided
    success_within: Decided
    latency: Decided | None
    canary_keys: Ints
    requests: Ints = field(repr=False)
    failed: Ints = field(repr=False)
    slow: Ints = field(repr=False)
    slower: Ints = field(repr=False)

    def per_interval(self, counts: Ints, rate: int, seconds: int) -> Ints:
        """Sums of 60 s each at `rate` requests/s, over a trace of `seconds`."""
        used = counts[:, : seconds * rate // _BIN]
        return used.reshape(len(counts), -1, rate).sum(axis=2)


def simulate(
    seed: int,
    rollouts: int,
    users: int,
    requests: int,
    fault: Fault,
    shape: str = "beta",
    *,
    latency: bool = False,
    bins: bool = True,
    share: float = SHARE,
) -> Outcome:
    """`requests` a rollout. `latency`: test it too; `bins`: keep on counting for the peers after
    we have decided everywhere."""
    done = []
    for first in range(0, rollouts, _BATCH):
        rng = np.random.default_rng([seed, users, first])
        size = min(_BATCH, rollouts - first)
        done.append(_batch(rng, size, users, requests, fault, shape, latency, bins, share))
    return _joined(done)


def _batch(
    rng: np.random.Generator,
    rollouts: int,
    users: int,
    requests: int,
    fault: Fault,
    shape: str,
    latency: bool,
    bins: bool,
    share: float,
) -> Outcome:
    traffic = Traffic(rng, rollouts, users, fault, shape, latency, share)
    keys = traffic.is_canary
    success = EventTests(keys, rollouts, 0.01, 0.01, FAIL_BUDGET[Kind.SUCCESS])
    slow = EventTests(keys, rollouts, 0.05, 0.05, FAIL_BUDGET[Kind.LATENCY], STRETCHED)
    counted: list[list[Ints]] = [[], [], [], []]
    while traffic.made < requests:
        decided = _all_decided(success, slow if latency else None)
        if decided and not bins:
            break
        made = traffic.made
        chunk = traffic.next()
        if not decided:
            success.observe(chunk, chunk.failed, made)
            if latency:
                slow.observe(chunk, chunk.slow, made)
        if bins:
            for counts, sums in zip(counted, _sums(chunk), strict=True):
                counts.append(sums)
    empty = np.zeros((rollouts, 0), np.int64)
    sums = [np.concatenate(c, axis=1) if c else empty for c in counted]
    canary_keys = keys.reshape(rollouts, users).sum(axis=1)
    return Outcome(
        success.worse, success.within, slow.worse if latency else None, canary_keys, *sums
    )


def _all_decided(success: EventTests, slow: EventTests | None) -> bool:
    decided = success.worse.requests >= 0
    if slow is not None:
        decided = decided | (slow.worse.requests >= 0)
    return bool(decided.all())


def _sums(chunk: Chunk) -> list[Ints]:
    shape = (len(chunk.key), CHUNK // _BIN, _BIN)
    canary = chunk.canary
    of = (canary, canary & chunk.failed, canary & chunk.slow, canary & chunk.slower)
    return [flags.reshape(shape).sum(axis=2).astype(np.int32) for flags in of]


def _joined(done: list[Outcome]) -> Outcome:
    def decided(parts: list[Decided]) -> Decided:
        return Decided(
            np.concatenate([d.requests for d in parts]),
            np.concatenate([d.canary_requests for d in parts]),
            np.concatenate([d.bad for d in parts]),
        )

    latency = [d.latency for d in done if d.latency is not None]
    return Outcome(
        decided([d.success for d in done]),
        decided([d.success_within for d in done]),
        decided(latency) if latency else None,
        np.concatenate([d.canary_keys for d in done]),
        *(
            np.concatenate([getattr(d, name) for d in done])
            for name in ("requests", "failed", "slow", "slower")
        ),
    )


def served_bad(decided: Decided, counts: Ints, rate: int, seconds: int) -> Ints:
    """Bad answers of each rollout: until the look (each second) after our decision, or all of
    the trace where there was none. The second's own are expected ones."""
    used = counts[:, : seconds * rate // _BIN]
    requests = rate * seconds
    stopped = (decided.requests >= 0) & (decided.requests <= requests)
    total = used.sum(axis=1)
    late = -decided.requests % rate * SHARE * total / np.maximum(1, requests * SHARE)
    return np.where(stopped, decided.bad + np.rint(late), total).astype(np.int64)
