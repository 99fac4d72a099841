import datetime
import time

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
        ("0 0 30 2 *", "UTC", "never comes"),
        ("0 0 31 4,6,9,11 *", "UTC", "never comes"),
        ("0 18 1 * 5", "UTC", "Make one of them \\*"),  # crontab(5): on the 1st, and on Fridays
    ],
)
def test_what_is_no_cron_line_is_refused(expression: str, timezone: str, complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        cron_trigger(expression, timezone)


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "0 18 */2 * 5", "0 18 1 * *"])
def test_rare_days_and_steps_are_fine(expression: str) -> None:
    assert cron_trigger(expression)


def test_a_plan_of_long_ago_whose_freeze_never_comes_is_not_frozen_and_costs_nothing() -> None:
    never = Freeze("0 0 30 2 *", HOUR)
    assert frozen_until((never,), shanghai("2026-02-28T12:00")) is None
    began = time.perf_counter()
    for _ in range(100):
        frozen_until((never,), shanghai("2026-02-28T12:00"))
    assert time.perf_counter() - began < 0.5


def test_a_plan_of_long_ago_that_names_both_days_still_loads() -> None:
    both = Freeze("0 18 20 * 5", HOUR)  # as it always was: the 20th where that is a Friday
    assert frozen_until((both,), shanghai("2026-11-20T18:30")) is None  # that is in UTC
    assert frozen_until((both,), shanghai("2026-11-21T02:30")) is not None
