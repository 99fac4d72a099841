"""The spool on a real disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from spools import ASKED, TEXT, Spools, keep

from controller.core.errors import SpoolFull
from controller.core.spool import SpoolLimits, SpoolState


@pytest.fixture
def spools(tmp_path: Path) -> Spools:
    return Spools(tmp_path / "spool")


def test_what_was_accepted_is_there_in_order_after_a_restart(spools: Spools) -> None:
    kept = [keep(spools.open(), f"recording {n}".encode()) for n in range(12)]
    folder = spools.open()
    assert folder.waiting() == kept
    assert [folder.body(entry).read_bytes() for entry in kept] == [
        f"recording {n}".encode() for n in range(12)
    ]


def test_the_order_goes_on_where_it_was(spools: Spools) -> None:
    first = keep(spools.open())
    assert keep(spools.open()).order == first.order + 1


def test_an_answer_is_kept_and_the_recording_deleted(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.answer(entry, TEXT)
    for again in (folder, spools.open()):
        found = again.entry(entry.id)
        assert found is not None
        assert (found.state, again.answer_of(found)) == (SpoolState.ANSWERED, TEXT)
        assert not again.body(found).exists()


def test_a_second_answer_changes_nothing(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.answer(entry, TEXT)
    folder.answer(entry, dataclasses.replace(TEXT, body=b"another"))
    assert folder.answer_of(entry) == TEXT
    assert folder.counts["answered"] == 1


def test_a_request_that_its_sender_repeats_is_kept_once(spools: Spools) -> None:
    folder = spools.open()
    asked = dataclasses.replace(ASKED, request_id="r-1")
    first = keep(folder, b"audio", asked)
    assert keep(folder, b"audio", asked) == first
    assert keep(folder, b"other audio", asked) != first
    assert keep(spools.open(), b"audio", asked) == first
    stranger = dataclasses.replace(asked, key_hash="of another key")
    assert keep(folder, b"audio", stranger) != first
    assert len(folder.waiting()) == 3


def test_requests_without_an_id_are_never_the_same(spools: Spools) -> None:
    folder = spools.open()
    assert keep(folder).id != keep(folder).id


def test_no_more_is_kept_than_there_is_room_for(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_entries=3)
    folder = spools.open()
    keep(folder, b"x" * 90)
    with pytest.raises(SpoolFull, match="MiB"):
        folder.receive(ASKED, 11)
    coming = folder.receive(ASKED, 10)  # its room is taken before its body is there
    with pytest.raises(SpoolFull):
        folder.receive(ASKED, 1)
    coming.close()
    keep(folder, b"x" * 5)
    keep(folder, b"x" * 5)
    with pytest.raises(SpoolFull, match="3 requests wait"):
        folder.receive(ASKED, 0)


def test_what_was_answered_takes_no_room(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_entries=1)
    folder = spools.open()
    for _ in range(3):
        folder.answer(keep(folder, b"x" * 100), TEXT)


def test_what_waits_too_long_expires_then_is_forgotten(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder)
    spools.pass_seconds(59)
    assert folder.sweep() == 0
    spools.pass_seconds(1)
    assert folder.sweep() == 1
    for again in (folder, spools.open()):
        found = again.entry(entry.id)
        assert found is not None
        assert found.state is SpoolState.EXPIRED
        assert not again.body(found).exists()
    spools.pass_seconds(60)
    folder.sweep()
    assert folder.entry(entry.id) is None
    assert spools.open().entry(entry.id) is None
    assert list(spools.path.iterdir()) == []


def test_an_answer_stays_for_the_whole_time_after_it_came(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder)
    spools.pass_seconds(59)
    folder.answer(entry, TEXT)
    spools.pass_seconds(59)
    assert folder.sweep() == 0
    assert folder.answer_of(entry) == TEXT
    spools.pass_seconds(1)
    assert folder.sweep() == 0  # nobody was left without an answer
    found = folder.entry(entry.id)
    assert found is not None
    assert found.state is SpoolState.EXPIRED
    assert not list(spools.path.glob("*/answer"))


def test_failures_are_counted_across_restarts(spools: Spools) -> None:
    folder = spools.open()
    entry = keep(folder)
    folder.failed(folder.failed(entry))
    assert [e.failures for e in spools.open().waiting()] == [2]


def test_the_recording_of_a_request_that_was_given_up_stays_to_be_looked_at(
    spools: Spools,
) -> None:
    folder = spools.open()
    entry = keep(folder)
    while not entry.given_up:
        entry = folder.failed(entry)
    folder.answer(entry, dataclasses.replace(TEXT, status=500))
    assert spools.open().body(entry).read_bytes() == b"audio"
    assert folder.counts["given_up"] == 1


def test_a_recording_that_is_kept_of_a_request_given_up_takes_room(spools: Spools) -> None:
    spools.limits = SpoolLimits(max_bytes=100, max_age_seconds=60)
    folder = spools.open()
    entry = keep(folder, b"x" * 90)
    while not entry.given_up:
        entry = folder.failed(entry)
    folder.answer(entry, dataclasses.replace(TEXT, status=500))
    for again in (folder, spools.open()):
        with pytest.raises(SpoolFull, match="recordings fill"):
            keep(again, b"x" * 11)
    spools.pass_seconds(60)
    folder.sweep()
    keep(folder, b"x" * 100)


def test_no_key_is_kept_but_its_hash_is_the_same_next_time(spools: Spools) -> None:
    folder = spools.open()
    hashed = folder.hash_of("a secret of a client")
    assert hashed == spools.open().hash_of("a secret of a client") != folder.hash_of("another")
    assert "secret" not in hashed


def test_only_the_owner_reads_what_users_said(spools: Spools) -> None:
    folder = spools.open()
    folder.answer(keep(folder), TEXT)
    keep(folder)
    folder.hash_of("key")
    modes = {path.stat().st_mode & 0o077 for path in [spools.path, *spools.path.rglob("*")]}
    assert modes == {0}
