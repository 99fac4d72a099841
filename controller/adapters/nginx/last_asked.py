"""Which of several switches holds."""

from __future__ import annotations

import threading
from collections.abc import Callable


class LastAskedWins:
    """A load takes seconds and carries the routing of its beginning; a rollback that is asked
    for meanwhile must neither wait for it nor be undone by it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = 0
        self._done = 0

    def ticket(self) -> int:
        with self._lock:
            self._given += 1
            return self._given

    def run(self, ticket: int, action: Callable[[], None]) -> None:
        """Do it, unless something that was asked for later is done already."""
        with self._lock:
            if ticket >= self._done:
                self._done = ticket
                action()

    def run_apart(self, action: Callable[[], None]) -> None:
        """Do it, while nothing else is done."""
        with self._lock:
            action()
