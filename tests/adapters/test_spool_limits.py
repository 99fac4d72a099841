"""How much the spool keeps of one client, and of what is finished; and what is deleted."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.adapters.spool_folder import SpoolFolder
from controller.core.errors import SpoolFull
from controller.core.spool import (
    FINISHED_BYTES,
    Asked,
    LateAnswer,
    SpoolEntry,
    SpoolLimits,
    SpoolState,
)

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
ASKED = Asked("/v1/audio/transcriptions", "audio/ogg")
ANN, BOB = (dataclasses.replace(ASKED, client=name) for name in ("ann", "bob"))
Open = Callable[..., SpoolFolder]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """One controller after another over the same folder; each look at the clock is a second."""
    seconds = iter(range(1_000_000))

    def open_folder(**limits: int) -> SpoolFolder:
        folder = SpoolFolder(
            tmp_path / "spool",
            SpoolLimits(max_age_seconds=1e6, **limits),
            lambda: NOON + datetime.timedelta(seconds=next(seconds)),
        )
        folder.open()
        return folder

    return open_folder


def keep(folder: SpoolFolder, asked: Asked = ASKED, body: bytes = b"audio") -> SpoolEntry:
    incoming = folder.receive(asked, len(body))
    try:
        incoming.write(body)
        return incoming.accept()
    finally:
        incoming.close()


def answered(folder: SpoolFolder, size: int = 10) -> SpoolEntry:
    entry = keep(folder)
    folder.answer(entry, LateAnswer(200, "text/plain", b"x" * size, "v1-1", "v1"))
    return entry


def states(folder: SpoolFolder, entries: list[SpoolEntry]) -> list[SpoolState | None]:
    found = [folder.entry(entry.id) for entry in entries]
    return [entry.state if entry is not None else None for entry in found]


WAITING, ANSWERED = SpoolState.WAITING, SpoolState.ANSWERED


def test_one_client_leaves_room_to_others(opened: Open) -> None:
    folder = opened(max_entries=4, client_percent=50)
    keep(folder, ANN)
    keep(folder, ANN)
    with pytest.raises(SpoolFull, match="2 of yours wait already"):
        keep(folder, ANN)
    keep(folder, BOB)
    with pytest.raises(SpoolFull, match="2 of yours"):
        keep(opened(max_entries=4, client_percent=50), ANN)


def test_recordings_of_one_client_leave_room_to_others_also_while_they_come(opened: Open) -> None:
    folder = opened(max_bytes=100, client_percent=50)
    coming = folder.receive(ANN, 30)
    with pytest.raises(SpoolFull, match="50 % of its room"):
        folder.receive(ANN, 21)
    keep(folder, BOB, b"x" * 50)
    coming.close()
    keep(folder, ANN, b"x" * 50)


def test_a_client_always_gets_one_request_kept(opened: Open) -> None:
    keep(opened(max_entries=10, client_percent=1), ANN)


def test_a_client_whose_request_was_answered_has_room_again(opened: Open) -> None:
    folder = opened(max_entries=2, client_percent=50)
    for _ in range(3):
        entry = keep(folder, ANN)
        folder.answer(entry, LateAnswer(200, "text/plain", b"heard", "v1-1", "v1"))


def test_the_oldest_answers_go_where_all_are_too_much(opened: Open) -> None:
    size = 1000
    folder = opened(max_answer_bytes=2 * (FINISHED_BYTES + size))
    entries = [answered(folder, size) for _ in range(4)]
    for again in (folder, opened()):
        assert states(again, entries) == [None, None, ANSWERED, ANSWERED]
    assert folder.counts["dropped"] == 2
    assert len(list(folder.path.iterdir())) == 2


def test_what_waits_is_never_dropped_nor_the_newest_answer(opened: Open) -> None:
    folder = opened(max_answer_bytes=1)
    first = keep(folder)
    older, newest = answered(folder), answered(folder)
    folder.sweep()
    assert states(folder, [first, older, newest]) == [WAITING, None, ANSWERED]


def test_what_has_expired_takes_room_too(opened: Open) -> None:
    folder = opened()
    entries = [keep(folder) for _ in range(3)]
    folder.limits = dataclasses.replace(folder.limits, max_age_seconds=0)
    folder.sweep()
    folder = opened(max_answer_bytes=FINISHED_BYTES)
    folder.sweep()
    assert states(folder, entries) == [None, None, SpoolState.EXPIRED]
    assert folder.counts["dropped"] == 0  # there was no answer to lose


def test_a_smaller_limit_counts_from_the_next_start(opened: Open) -> None:
    folder = opened()
    entries = [answered(folder, 5000) for _ in range(3)]
    folder = opened(max_answer_bytes=FINISHED_BYTES + 5000)
    folder.sweep()
    assert states(folder, entries) == [None, None, ANSWERED]


@pytest.mark.parametrize("make", [keep, answered])
def test_what_its_sender_deletes_is_gone_for_ever(
    opened: Open, make: Callable[[SpoolFolder], SpoolEntry]
) -> None:
    folder = opened()
    entry = make(folder)
    folder.delete(entry)
    folder.delete(entry)
    assert folder.entry(entry.id) is opened().entry(entry.id) is None
    assert list(folder.path.iterdir()) == []
    assert folder.counts["withdrawn"] == (make is keep)


def test_an_answer_to_what_its_sender_deleted_meanwhile_is_dropped(opened: Open) -> None:
    folder = opened()
    entry = keep(folder)
    folder.delete(entry)
    folder.failed(entry)
    folder.answer(entry, LateAnswer(200, "text/plain", b"heard", "v1-1", "v1"))
    assert folder.waiting() == list(folder.path.iterdir()) == []


def test_half_of_what_was_deleted_is_deleted_at_the_next_start(opened: Open) -> None:
    folder = opened()
    entry = answered(folder)
    kept = folder.body(entry).parent
    shutil.copytree(kept, kept.with_name(f"gone-{kept.name}"))  # as a kill leaves it
    shutil.rmtree(kept)
    assert opened().entry(entry.id) is None
    assert list(folder.path.iterdir()) == []
