"""What is measured of the controller itself and counted of its traffic, for who watches it.

Counts begin with this controller, as Prometheus expects of counters."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Iterable
from typing import Final

from controller.engine.records import Served

WINDOW_SECONDS: Final = 60.0
OUTCOMES: Final = ("answered", "refused", "failed", "left")
_LAG_INTERVAL_SECONDS: Final = 0.25
_MOST_ADDRESSES: Final = 10_000
UNKNOWN_NODE: Final = "unknown"  # its address belongs to no node that the router ever had


class Timing:
    """How long something took, in seconds: how often, in all, and at worst of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.count = 0
        self.total = 0.0
        self._last_at = clock()
        self._worst: collections.deque[tuple[float, float]] = collections.deque()  # falling

    def record(self, seconds: float) -> None:
        now = self._last_at = self._clock()
        self.count += 1
        self.total += seconds
        while self._worst and self._worst[-1][1] <= seconds:
            self._worst.pop()
        self._worst.append((now, seconds))
        self._forget(now)

    @property
    def worst(self) -> float:
        """Of the last minute; 0 where there was none."""
        self._forget(self._clock())
        return self._worst[0][1] if self._worst else 0.0

    @property
    def age(self) -> float:
        """Since the last one, or since the beginning."""
        return self._clock() - self._last_at

    def _forget(self, now: float) -> None:
        while self._worst and now - self._worst[0][0] > WINDOW_SECONDS:
            self._worst.popleft()


async def watch_lag(lag: Timing) -> None:
    """Record by how much this event loop runs late, until cancelled."""
    while True:
        due = time.monotonic() + _LAG_INTERVAL_SECONDS
        await asyncio.sleep(_LAG_INTERVAL_SECONDS)
        lag.record(max(0.0, time.monotonic() - due))


class TrafficTotals:
    """Requests by pool and outcome, and attempts by node and status, as the access log has them."""

    def __init__(self, node_at: Callable[[str], str | None]) -> None:
        self._node_at = node_at
        self._last_node_at: dict[str, str] = {}  # also of nodes that the router has no more
        self.requests: collections.Counter[tuple[str, str]] = collections.Counter()
        self.attempts: collections.Counter[tuple[str, str]] = collections.Counter()

    def take(self, served: Iterable[Served]) -> None:
        for request in served:
            self.requests[request.pool, outcome(request)] += 1
            for address, status in request.attempts:
                told = "none" if status is None else str(status)
                self.attempts[self._node(address), told] += 1

    def _node(self, address: str) -> str:
        """A dead node has often left the router when its failures are read."""
        if (name := self._node_at(address)) is not None:
            self._last_node_at[address] = name
            while len(self._last_node_at) > _MOST_ADDRESSES:
                del self._last_node_at[next(iter(self._last_node_at))]
            return name
        return self._last_node_at.get(address, UNKNOWN_NODE)


def outcome(served: Served) -> str:
    """What the client got: `answered`, `refused` (its own mistake, or too much at once), `failed`,
    or `left` where it did not wait for it."""
    if served.client_left:
        return "left"
    if served.status >= 500:
        return "failed"
    return "refused" if served.status >= 400 else "answered"
