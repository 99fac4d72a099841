"""How a drill is done, and when: the `drills` of fleet.yaml."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

from controller.core.cron import cron_trigger
from controller.core.drill.catalogue import Bounds, Drill, drill_named
from controller.core.errors import InvalidConfig

_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
MOST_CLIENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Window:
    """The hours in which drills may be: HH:MM-HH:MM, may wrap past midnight; all in seconds."""

    text: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if not _WINDOW.fullmatch(self.text):
            raise InvalidConfig(f"window: {self.text!r} is not HH:MM-HH:MM, such as 01:00-05:30")
        begin, end = self.text.split("-")
        if begin == end:
            raise InvalidConfig(
                f"window: {self.text!r} is never open, for it ends where it begins; leave the "
                f"window out for drills at any hour"
            )

    def closed(self, now: datetime.datetime) -> str | None:
        """Why this moment is none for drills; None where it is."""
        local = now.astimezone(ZoneInfo(self.timezone))
        begin, end = (part.strip() for part in self.text.split("-"))
        clock = f"{local:%H:%M}"
        wraps = begin > end
        inside = (clock >= begin or clock < end) if wraps else begin <= clock < end
        if inside:
            return None
        return (
            f"it is {clock}, and its window is {self.text} ({self.timezone}); `--anytime` goes "
            "over that by hand"
        )


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """`eval_set` None takes that of the golden clips, else the first there is. `clients` send
    real audio from `steady_seconds` before the fault until `calm_seconds` after the recovery.
    The `…_within_seconds` replace the drill's own bounds."""

    eval_set: str | None = None
    clients: int = 6
    steady_seconds: float = 10.0
    calm_seconds: float = 5.0
    during_rollout: bool = False
    detect_within_seconds: float | None = None
    switch_within_seconds: float | None = None
    recover_within_seconds: float | None = None

    def bounds(self, drill: Drill) -> Bounds:
        own = drill.bounds
        if own.detect is not None and self.detect_within_seconds is not None:
            own = replace(own, detect=self.detect_within_seconds)
        return replace(
            own,
            switch=self.switch_within_seconds or own.switch,
            recover=self.recover_within_seconds or own.recover,
        )


@dataclass(frozen=True, slots=True)
class ScheduledDrill:
    """One entry of `drills`. Raises NotFound and InvalidConfig."""

    drill: str
    cron: str
    timezone: str = "UTC"
    window: Window | None = None
    options: DrillOptions = DrillOptions()

    def __post_init__(self) -> None:
        drill_named(self.drill)
        cron_trigger(self.cron, self.timezone)
