"""How often something may be done: at once where it is seldom, ever slower where it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Pace:
    """A bucket of `burst` turns, which gets one back every `seconds`."""

    burst: int
    seconds: float
    clock: Callable[[], float] = time.monotonic
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = float(self.burst), self.clock()

    def take(self) -> bool:
        """Whether it may be done now; it then counts as done."""
        now = self.clock()
        self._left = min(self.burst, self._left + (now - self._at) / self.seconds)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
