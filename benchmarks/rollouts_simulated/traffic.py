"""Requests of users who differ: some send much, some fail often, and each comes in sessions.

Twenty sessions run at any moment; one ends with each tenth of its requests. A user's share of the
sessions is log-normal (sigma 1): of 400 users the busiest twentieth make about a quarter of the
requests. All requests of a user go to the pool that its hash says, the canary for 5 % of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SHARE: Final = 0.05
BASE_RATE: Final = 0.01
RATE_SPREAD: Final = 0.014  # standard deviation between users
CHUNK: Final = 120  # requests at a time
_LANES: Final = 20
_SESSION_REQUESTS: Final = 10
# Seconds are log-normal: between users, and between requests of a user (of one length).
_USER_SIGMA: Final = 0.2
_REQUEST_SIGMA: Final = 0.46
_P95: Final = 1.645 * float(np.hypot(_USER_SIGMA, _REQUEST_SIGMA))
SLOWER: Final = 1.25  # times stable's p95: the peers' limit as shipped

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the canary: `extra` of its requests fail (ratio) until request
    `until`, its times are multiplied by `slowdown`."""

    extra: float = 0.0
    until: int | None = None
    slowdown: float = 1.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Requests of each rollout (rows) in order (columns); `key` counts through all rollouts,
    `before` how many requests the key had made when the chunk began."""

    key: Ints
    canary: Bools
    before: Ints
    failed: Bools
    slow: Bools
    slower: Bools


class Traffic:
    """`shape` of the users' own error rates: beta, lognormal, or two kinds of users; mean 1 %
    and standard deviation 1.4 points each. `seconds`: whether anyone asks for times."""

    def __init__(
        self,
        rng: np.random.Generator,
        rollouts: int,
        users: int,
        fault: Fault,
        shape: str = "beta",
        seconds: bool = True,
        share: float = SHARE,
    ) -> None:
        self._rng, self._users, self._fault, self._seconds = rng, users, fault, seconds
        size = (rollouts, users)
        rates = _own_rates(rng, size, shape)
        self.is_canary = (rng.random(size) < share).ravel()
        self._equal = rates.ravel().astype(np.float32)
        worse = 1 - (1 - rates) * (1 - fault.extra)
        self._worse = np.where(self.is_canary, worse.ravel(), rates.ravel()).astype(np.float32)
        slowness = rng.normal(0, _USER_SIGMA, size).ravel()
        slowness += np.log(fault.slowdown) * self.is_canary
        self._slowness = slowness.astype(np.float32)
        self._requests = np.zeros(rollouts * users, np.int32)
        weights = np.cumsum(np.exp(rng.normal(0, 1, size)), axis=1)
        weights /= weights[:, -1:]
        self._rows = np.arange(rollouts)[:, None]
        self._weights = (weights + self._rows).ravel()
        self._sessions = self._new_sessions(np.ones((rollouts, _LANES), np.bool_), None)
        self.made = 0  # requests of each rollout so far

    def next(self) -> Chunk:
        key = np.concatenate([self._lanes() for _ in range(CHUNK // _LANES)], axis=1)
        until = self._fault.until
        rates = self._worse if until is None or self.made < until else self._equal
        log_seconds = self._log_seconds(key)
        chunk = Chunk(
            key=key,
            canary=self.is_canary[key],
            before=self._requests[key],
            failed=self._rng.random(key.shape, dtype=np.float32) < rates[key],
            slow=log_seconds > _P95,
            slower=log_seconds > _P95 + np.log(SLOWER),
        )
        for column in key.T:  # in one, no key comes twice
            self._requests[column] += 1
        self.made += CHUNK
        return chunk

    def _log_seconds(self, key: Ints) -> NDArray[np.float32]:
        """Zeros, which are not slow, where nobody asks for them."""
        if not self._seconds:
            return np.zeros(key.shape, np.float32)
        noise = self._rng.standard_normal(key.shape, dtype=np.float32)
        return self._slowness[key] + np.float32(_REQUEST_SIGMA) * noise

    def _lanes(self) -> Ints:
        ended = self._rng.random(self._sessions.shape) < 1 / _SESSION_REQUESTS
        self._sessions = self._new_sessions(ended, self._sessions)
        return self._sessions

    def _new_sessions(self, ended: Bools, running: Ints | None) -> Ints:
        sessions = np.zeros(ended.shape, np.int64) if running is None else running.copy()
        row, lane = np.nonzero(ended)
        found = np.searchsorted(self._weights, self._rng.random(len(row)) + row)
        sessions[row, lane] = np.minimum(found, (row + 1) * self._users - 1)
        return sessions


def _own_rates(rng: np.random.Generator, size: tuple[int, int], shape: str) -> Floats:
    mean, spread = BASE_RATE, RATE_SPREAD
    if shape == "beta":
        both = mean * (1 - mean) / spread**2 - 1
        return rng.beta(mean * both, (1 - mean) * both, size)
    if shape == "lognormal":
        variance = np.log1p((spread / mean) ** 2)
        logs = rng.normal(np.log(mean) - variance / 2, np.sqrt(variance), size)
        return np.minimum(np.exp(logs), 1.0)
    odd = rng.random(size) < 0.1  # a tenth of the users fails ten times as often
    return np.where(odd, mean + 3 * spread, mean - spread / 3)
