"""How late this process is: what it did not hear in time may be its own fault."""

from __future__ import annotations

import asyncio
import collections
import time
from typing import Final

BEAT_SECONDS: Final = 0.05
_KEPT: Final = 256


class Pulse:
    """A beat of the event loop. One that comes late shows that nothing else was done in time,
    whoever was to blame: a long callback, a busy core, a process that was stopped for a while."""

    def __init__(self) -> None:
        self._due: float | None = None
        self._late: collections.deque[tuple[float, float]] = collections.deque(maxlen=_KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From the event loop; more than once is no more than once."""
        if self._timer is None:
            self._next()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None

    def late_since(self, at: float) -> float:
        """Seconds by which the latest beat since `at` (on the monotonic clock) was late, also
        one that is due and has not come."""
        now = time.monotonic()
        overdue = now - self._due if self._due is not None else 0.0
        return max(overdue, 0.0, *(late for came, late in self._late if came >= at))

    def _beat(self) -> None:
        now = time.monotonic()
        assert self._due is not None
        if (late := now - self._due) > BEAT_SECONDS:
            self._late.append((now, late))
        self._next()

    def _next(self) -> None:
        self._due = time.monotonic() + BEAT_SECONDS
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
