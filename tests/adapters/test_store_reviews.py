from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.adapters.store import SqlStore
from controller.core.review.votes import Choice, Preference, Vote
from controller.engine.records import CastVote, Event, ReviewQueue
from tests.core.review_pairs import pairs
from tests.core.rollouts import NOON

QUEUE = ReviewQueue("r1", "seed", NOON, pairs(40))
ENTRY = Event("review.opened", "r1", "40 pairs", "ann", NOON)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.in_folder(tmp_path)
    opened.reviews.save_queue(QUEUE, ENTRY)
    yield opened
    opened.close()


def a_vote(rater: str = "ann", prefers: str = "canary", corrected: str | None = None) -> CastVote:
    vote = Vote(QUEUE.pairs[0].id, rater, Preference(prefers), corrected)
    return CastVote(vote, Choice.LEFT, NOON)


def test_a_queue_comes_back_as_it_was_saved(store: SqlStore) -> None:
    assert store.reviews.queue("r1") == QUEUE
    assert store.reviews.queue("r2") is None


def test_a_queue_is_made_once(store: SqlStore) -> None:
    store.reviews.save_queue(ReviewQueue("r1", "other", NOON, ()), ENTRY)
    assert store.reviews.queue("r1") == QUEUE
    assert len(store.events()) == 1


def test_the_newest_vote_of_a_person_counts(store: SqlStore) -> None:
    for cast in (a_vote(), a_vote("bob"), a_vote(prefers="same", corrected="好的")):
        store.reviews.add_vote("r1", cast, ENTRY)
    assert set(store.reviews.votes("r1")) == {
        a_vote("bob").vote,
        a_vote(prefers="same", corrected="好的").vote,
    }
    assert len(store.events()) == 4
    assert store.reviews.votes("r2") == []


def test_what_is_forgotten_is_gone_from_the_disk_and_how_people_voted_stays(
    store: SqlStore, tmp_path: Path
) -> None:
    pair = QUEUE.pairs[0]
    store.reviews.add_vote("r1", a_vote(corrected="a secret of the caller"), ENTRY)
    assert pair.difference is not None
    secrets = ("a secret of the caller", f"/sets/service/{int(pair.difference.utterance.key[1:])}.")
    assert all(any(s.encode() in f.read_bytes() for f in tmp_path.iterdir()) for s in secrets)

    store.reviews.forget("r1", [pair.id], Event("review.forgotten", "r1", "1 pair", "ann", NOON))
    left = store.reviews.queue("r1")
    assert left is not None
    assert [p.id for p in left.pairs if p.difference is None] == [pair.id]
    assert store.reviews.votes("r1") == [a_vote().vote]
    for secret in secrets:
        assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_what_a_reader_keeps_in_the_log_goes_once_it_has_read(
    store: SqlStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.reviews.add_vote("r1", a_vote(corrected="a secret of the caller"), ENTRY)
    reader = sqlite3.connect(tmp_path / "state.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchone()
    forgotten = Event("review.forgotten", "r1", "1 pair", "ann", NOON)
    store.reviews.forget("r1", [QUEUE.pairs[0].id], forgotten)
    assert "review.traces_remain" in caplog.text
    reader.close()
    store.reviews.leave_no_trace()
    assert not any(b"secret of the caller" in file.read_bytes() for file in tmp_path.iterdir())


def test_texts_with_half_a_surrogate_are_kept(store: SqlStore) -> None:
    from dataclasses import replace

    from controller.core.review.pairs import Difference

    assert isinstance(QUEUE.pairs[0].difference, Difference)
    odd = replace(QUEUE.pairs[0], difference=replace(QUEUE.pairs[0].difference, canary="\ud800"))
    store.reviews.save_queue(ReviewQueue("r9", "seed", NOON, (replace(odd, id="x"),)), ENTRY)
    queue = store.reviews.queue("r9")
    assert queue is not None
    assert queue.pairs[0].difference == odd.difference
