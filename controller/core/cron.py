"""Times that repeat, as people write them for cron."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Final

from apscheduler.triggers.cron import CronTrigger

from controller.core.errors import InvalidConfig
from controller.core.plan import Freeze

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")  # 0 and 7 are Sunday
_DAY: Final = re.compile(
    r"(?P<first>\*|[0-7]|[a-z]{3})(?:-(?P<last>[0-7]|[a-z]{3}))?(?:/(?P<step>[1-7]))?"
)

_LONG_AGO: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def cron_trigger(expression: str, timezone: str = "UTC") -> CronTrigger:
    """Five fields as in crontab(5): minute, hour, day of the month, month, day of the week.

    Raises InvalidConfig, also where both days are named (crontab(5) takes either of them, readers
    take it for both at once) and where no such day ever comes."""
    trigger = _trigger(expression, timezone)
    day, weekday = expression.split()[2], expression.split()[4]
    if not (day.startswith("*") or weekday.startswith("*")):
        raise InvalidConfig(
            f"cron: {expression!r} names days of the month and days of the week: to cron that is "
            f"either of them. Make one of them *, or write two entries"
        )
    if trigger is None:
        raise InvalidConfig(f"cron: {expression!r} names a day that never comes")
    return trigger


@functools.lru_cache(maxsize=64)  # that a time never comes takes a second to find out
def _trigger(expression: str, timezone: str) -> CronTrigger | None:
    """None where its time never comes. Raises InvalidConfig."""
    fields = expression.split()
    if len(fields) != 5:
        raise InvalidConfig(f"cron: {expression!r} has {len(fields)} fields, not the 5 of crontab")
    try:
        trigger = CronTrigger(
            minute=fields[0],
            hour=fields[1],
            day=fields[2],
            month=fields[3].lower(),
            day_of_week=_days_of_week(fields[4]),
            timezone=timezone,
        )
    except (ValueError, LookupError) as error:
        raise InvalidConfig(f"cron: {expression!r} in {timezone!r}: {error}") from error
    return trigger if trigger.get_next_fire_time(None, _LONG_AGO) is not None else None


def frozen_until(freezes: Sequence[Freeze], now: datetime.datetime) -> datetime.datetime | None:
    """The end of the freeze that we are in, at the earliest; None outside of all."""
    ends = [end for freeze in freezes if (end := _end(freeze, now)) is not None]
    return max(ends, default=None)


def _end(freeze: Freeze, now: datetime.datetime) -> datetime.datetime | None:
    length = datetime.timedelta(seconds=freeze.seconds)
    trigger = _trigger(freeze.cron, freeze.timezone)
    if trigger is None:
        return None
    began: datetime.datetime | None = trigger.get_next_fire_time(None, now - length)
    if began is None or not now - length < began <= now:
        return None
    return began + length


def _days_of_week(field: str) -> str:
    """By name: APScheduler's numbers begin with Monday, crontab's with Sunday."""
    days = {day for part in field.lower().split(",") for day in _days(part)}
    return ",".join(sorted(days))


def _days(part: str) -> Iterable[str]:
    match = _DAY.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is not a day of the week (0-7 or mon-sun)")
    if match["first"] == "*":
        first, last = 0, 6
    else:
        first = _number(match["first"])
        last = _number(match["last"] or match["first"])
        if last < first:  # fri-mon
            last += 7
    return (_DAYS[day % 7] for day in range(first, last + 1, int(match["step"] or 1)))


def _number(day: str) -> int:
    if day.isdigit():
        return int(day)
    if day not in _DAYS:
        raise ValueError(f"{day!r} is not a day of the week (0-7 or mon-sun)")
    return _DAYS.index(day)
