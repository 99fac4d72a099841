import datetime

import pytest

from controller.core.cron import cron_trigger, frozen_until
from controller.core.errors import InvalidConfig
from controller.core.plan import Freeze

HOUR = 3600.0
WEEKEND = Freeze("0 18 * * 5", 62 * HOUR, "Asia/Shanghai")  # Friday 18:00 to Monday 08:00


def shanghai(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"{text}+08:00")


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-11-20T17:59", False),  # a Friday
        ("2026-11-20T18:00", True),
        ("2026-11-23T07:59", True),
        ("2026-11-23T08:00", False),
    ],
)
def test_a_freeze_begins_when_cron_says_and_lasts_as_long_as_it_says(
    now: str, frozen: bool
) -> None:
    assert (frozen_until((WEEKEND,), shanghai(now)) is not None) is frozen


def test_the_end_of_a_freeze_is_known() -> None:
    assert frozen_until((WEEKEND,), shanghai("2026-11-21T12:00")) == shanghai("2026-11-23T08:00")


def test_of_two_freezes_the_longer_counts() -> None:
    night = Freeze("0 0 * * *", 8 * HOUR, "Asia/Shanghai")
    now = shanghai("2026-11-21T01:00")
    assert frozen_until((night, WEEKEND), now) == frozen_until((WEEKEND,), now)


@pytest.mark.parametrize(
    ("field", "day"),
    [("0", 6), ("7", 6), ("1", 0), ("5", 4), ("fri", 4), ("FRI", 4), ("6-7", 5), ("*/7", 6)],
)
def test_days_of_the_week_are_numbered_as_in_crontab(field: str, day: int) -> None:
    monday = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
    fires = cron_trigger(f"0 12 * * {field}").get_next_fire_time(None, monday)
    assert fires is not None
    assert fires.weekday() == day


@pytest.mark.parametrize(
    ("expression", "timezone", "complaint"),
    [
        ("0 18 * *", "UTC", "4 fields"),
        ("61 18 * * 5", "UTC", "61"),
        ("0 18 * * someday", "UTC", "someday"),
        ("0 18 * * 9", "UTC", "9"),
        ("0 18 * * 5", "Asia/Shangri-La", "Shangri-La"),
    ],
)
def test_what_is_no_cron_line_is_refused(expression: str, timezone: str, complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        cron_trigger(expression, timezone)
