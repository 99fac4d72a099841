"""What is compared of a copied request, and which requests are."""

from __future__ import annotations

import pytest

from controller.core.shadow.pair import Heard, counted
from controller.core.shadow.sample import is_copied


def heard(text: str | None, *, copy: bool = False, seconds: float | None = 4.0) -> Heard:
    return Heard("n", 1, "e", "r1", "v1", text, copy, seconds, "zh")


def copy(text: str | None, seconds: float | None = 4.0) -> Heard:
    return heard(text, copy=True, seconds=seconds)


def test_texts_that_differ_only_in_punctuation_are_alike() -> None:
    found = counted(heard("你好，世界。"), copy("你好 世界"))
    assert found is not None
    assert (found.alike, found.units, found.slices) == (True, 4, ("short", "language:zh"))


def test_numbers_in_words_differ_as_written_and_not_by_value() -> None:
    found = counted(heard("请拨打10086"), copy("请拨打一零零八六"))
    assert found is not None
    assert found.written > 0
    assert found.numbers == 0
    assert "digits" in found.slices


def test_a_copy_that_failed_differs_in_everything() -> None:
    found = counted(heard("你好世界"), copy(None, seconds=None))
    assert found is not None
    assert (found.written, found.units) == (4, 4)
    assert "failed" in found.slices


@pytest.mark.parametrize(
    ("stable", "canary", "slice_name"),
    [("你好", "", "empty"), ("", "你好", "text-on-silence")],
)
def test_silence_on_one_side_is_a_slice_of_its_own(
    stable: str, canary: str, slice_name: str
) -> None:
    found = counted(heard(stable), copy(canary))
    assert found is not None
    assert slice_name in found.slices


@pytest.mark.parametrize(
    ("stable", "canary"),
    [
        (heard(None), copy("你好")),  # nothing to compare with
        (heard("你好"), copy("再见", seconds=9.0)),  # a client's id for two recordings
    ],
)
def test_what_is_not_a_pair_is_not_counted(stable: Heard, canary: Heard) -> None:
    assert counted(stable, canary) is None


def test_long_recordings_are_told_from_short_ones() -> None:
    found = counted(heard("你好", seconds=15.0), copy("你好", seconds=15.0))
    assert found is not None
    assert "long" in found.slices


def test_the_share_of_requests_that_are_copied_is_the_one_asked_for() -> None:
    ids = [f"request-{n}" for n in range(20_000)]
    assert sum(is_copied(i, "r", 20) for i in ids) / len(ids) == pytest.approx(0.2, abs=0.01)
    assert all(is_copied(i, "r", 100) for i in ids)
    assert not any(is_copied(i, "r", 0) for i in ids)


def test_a_growing_share_keeps_those_that_it_had_and_a_salt_draws_others() -> None:
    ids = [f"request-{n}" for n in range(1000)]
    assert all(is_copied(i, "r", 50) for i in ids if is_copied(i, "r", 20))
    assert [is_copied(i, "r", 20) for i in ids] != [is_copied(i, "s", 20) for i in ids]
