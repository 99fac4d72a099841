"""Tells once that pools are not as they should be, and once that they are again."""

from __future__ import annotations

import datetime
import logging
from typing import Final

from controller.engine.ledger import Ledger

log = logging.getLogger(__name__)
COMING_UP_SECONDS: Final = 300.0  # of a fleet, from nothing to ready nodes


class Alarm:
    """Known only since this controller runs; all of it can be found out again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: str | None = None
        self._was_well = False  # at least once
        self._write_error: str | None = None  # of the last attempt
        self.text: str | None = None

    async def tell(self, text: str | None, running: datetime.timedelta | None) -> None:
        """`running`: for how long this controller has, None before it has begun."""
        self.text = ". ".join(filter(None, (text, self._ledger.problem))) or None
        self._was_well = self._was_well or text is None
        if text == self._told or self._is_coming_up(running):
            return
        kind = "fleet.alarm" if text else "fleet.recovered"
        message = text or "all pools are as they should be"
        try:
            await self._ledger.write([self._ledger.event(kind, "fleet", message)])
        except Exception as error:  # it is news to the next tick, too, and must not end this one
            if str(error) != self._write_error:
                log.exception("alarm.untold text=%s", message)
            self._write_error = str(error)
            return
        self._told, self._write_error = text, None

    def _is_coming_up(self, running: datetime.timedelta | None) -> bool:
        """A fleet whose nodes still load is no news; one that does not come up is."""
        if self._was_well or running is None:
            return False
        return running.total_seconds() < COMING_UP_SECONDS
