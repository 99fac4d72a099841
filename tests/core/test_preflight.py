import pytest

from controller.core.errors import InvalidConfig
from controller.core.preflight import Load, LoadCheck, compare

CHECK = LoadCheck("digits", clips=4, concurrency=2, max_slowdown=1.5)


def loads(*seconds: float) -> list[Load]:
    return [Load((s / 2,) * 4, s) for s in seconds]


def test_a_version_as_fast_as_the_old_one_passes() -> None:
    parity = compare(CHECK, loads(1.0, 1.1, 0.9), loads(1.2, 1.0, 1.1))
    assert parity.passed
    assert "take 1.10 times as long as with the old version" in parity.reason


def test_a_version_that_takes_twice_as_long_fails_with_the_numbers() -> None:
    parity = compare(CHECK, loads(1.0, 1.0, 1.0), loads(2.0, 2.0, 2.0))
    assert not parity.passed
    assert "take 2.00 times as long" in parity.reason
    assert "1.5 are allowed" in parity.reason


def test_one_round_that_something_else_disturbed_does_not_decide() -> None:
    assert compare(CHECK, loads(1.0, 1.0, 1.0), loads(1.0, 9.0, 1.0)).passed


def test_slow_answers_among_fast_ones_count_although_the_throughput_is_right() -> None:
    slow = [Load((0.5, 0.5, 0.5, 3.0), 1.0)]
    assert not compare(CHECK, loads(1.0), slow).passed


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clips": 2, "concurrency": 4}, "4 at a time of 2 clips"),
        ({"concurrency": 0}, "0 at a time"),
        ({"max_slowdown": 1.0}, "max_slowdown"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        LoadCheck("digits", **values)
