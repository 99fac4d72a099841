"""How often each node has ended by itself, and how long it must wait for its next start."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from controller.engine.ports.runtime import ObservedNode

CRASHES_THAT_COUNT: Final = 3  # ends in a row, each before it was healthy for long
CRASHES_THAT_END: Final = 5  # then it is failed: tried again now and then, and told once
HEALTHY_FOR_LONG_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 2.0  # after a start that the runtime refused


@dataclass(slots=True)
class _Ends:
    """Of one node since it was last healthy for long, and the instance counted last."""

    count: int = 0
    counted: str = ""
    next_start: float = 0.0  # on the monotonic clock, as the other
    healthy_since: float | None = None
    problem: str | None = None
    last_words: str = ""


@dataclass(slots=True)
class Crashes:
    """Starts wait 0, 1, 3 and 7 s, then always `longest_wait_seconds`."""

    longest_wait_seconds: float = 30.0
    _ends: dict[str, _Ends] = field(default_factory=dict)

    def count(self, name: str) -> int:
        ends = self._ends.get(name)
        return ends.count if ends is not None else 0

    def has_failed(self, name: str) -> bool:
        return self.count(name) >= CRASHES_THAT_END

    def problem(self, name: str) -> str | None:
        """How it ended and what it said last, until it has been healthy for long."""
        ends = self._ends.get(name)
        return ends.problem if ends is not None else None

    def must_wait(self, name: str) -> bool:
        ends = self._ends.get(name)
        return ends is not None and time.monotonic() < ends.next_start

    def take(self, node: ObservedNode) -> bool:
        """Count the end of a node; whether it was not counted yet."""
        ends = self._ends.setdefault(node.name, _Ends())
        if ends.counted == node.instance:
            return False
        ends.counted = node.instance
        ends.count += 1
        ends.last_words = ""
        ends.healthy_since = None
        ends.next_start = time.monotonic() + self._wait_seconds(ends.count)
        return True

    def explain(self, name: str, reason: str, last_words: str) -> str:
        """Keep, and return, what a person should know of a node that ended."""
        ends = self._ends.setdefault(name, _Ends())
        times = f"{ends.count} times in a row" if ends.count > 1 else "once"
        ends.problem = f"{name} ended {times} ({reason}); its last words: {last_words or 'none'}"
        ends.last_words = last_words
        return ends.problem

    def last_words(self, name: str) -> str:
        ends = self._ends.get(name)
        return ends.last_words if ends is not None else ""

    def postpone(self, name: str) -> None:
        """The runtime did not start it: that is no end, and not to be tried again at once."""
        ends = self._ends.setdefault(name, _Ends())
        ends.next_start = max(ends.next_start, time.monotonic() + _AGAIN_SECONDS)

    def forgive(self, name: str) -> bool:
        """A node that is healthy: forget its ends once it has been for long; whether that is
        now, of one that had failed."""
        ends, now = self._ends.get(name), time.monotonic()
        if ends is None:
            return False
        if ends.healthy_since is None:
            ends.healthy_since = now
        if now - ends.healthy_since < HEALTHY_FOR_LONG_SECONDS:
            return False
        del self._ends[name]
        return ends.count >= CRASHES_THAT_END

    def forget(self, name: str) -> None:
        self._ends.pop(name, None)

    def problems(self) -> dict[str, str]:
        """Of those that end again and again, by node."""
        again = {n: e for n, e in self._ends.items() if e.count >= CRASHES_THAT_COUNT}
        return {name: e.problem for name, e in again.items() if e.problem is not None}

    def _wait_seconds(self, count: int) -> float:
        if count >= CRASHES_THAT_END:
            return self.longest_wait_seconds
        return min(2.0 ** (count - 1) - 1, self.longest_wait_seconds)
