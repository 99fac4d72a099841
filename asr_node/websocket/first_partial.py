"""How long somebody who speaks waits for the first words on the screen."""

from __future__ import annotations

import time


class FirstPartial:
    """Of one stream: from the arrival of the first audio in which somebody speaks, to the first
    text that was sent. A room that is quiet for a minute before does not make a node slow."""

    def __init__(self) -> None:
        self._spoke_at: float | None = None  # on the monotonic clock
        self._seconds: float | None = None
        self._recorded = False

    def spoken(self, at: float) -> None:
        if self._spoke_at is None:
            self._spoke_at = at

    def not_spoken(self) -> None:
        """What was taken for speech was none."""
        self._spoke_at = None

    def told(self) -> float | None:
        """Text was sent: the seconds, where it was the first."""
        if self._seconds is not None or self._spoke_at is None:
            return None
        self._seconds = time.monotonic() - self._spoke_at
        return self._seconds

    def to_record(self) -> float | None:
        """The seconds, once: for the first row of the history that is made after it."""
        if self._seconds is None or self._recorded:
            return None
        self._recorded = True
        return self._seconds
