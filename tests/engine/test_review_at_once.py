"""People who vote, open and forget at the same moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.store import SqlStore
from controller.core.errors import NotFound
from controller.core.review.votes import Choice
from controller.engine.records import Event, ReviewQueue
from controller.engine.review import Review
from tests.core.review_pairs import pairs
from tests.core.rollouts import NOON

QUEUE = ReviewQueue("r1", "seed", NOON, pairs(20))
ENTRY = Event("review.opened", "r1", "20 pairs", "ann", NOON)


class Hesitant:
    """Reviews of which one call is held, the first of a name: what it reads, it has read."""

    def __init__(self, store: SqlStore, name: str = "") -> None:
        self._reviews, self._name = store.reviews, name
        self._held, self._go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._reviews, name)
        return self._slow(call) if name == self._name and not self._held.is_set() else call

    def _slow(self, call: Any) -> Any:
        def slow(*arguments: Any) -> Any:
            read = call(*arguments) if self._name != "add_vote" else None
            self._held.set()
            assert self._go.wait(30)
            return read if self._name != "add_vote" else call(*arguments)

        return slow

    async def meanwhile(
        self, one: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any]
    ) -> None:
        """`other` is begun, and ends if it can, while `one` is held."""
        first = asyncio.create_task(one)
        assert await asyncio.to_thread(self._held.wait, 30)
        second = asyncio.create_task(other)
        await asyncio.wait({second}, timeout=0.3)
        self._go.set()
        await asyncio.gather(first, second)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = SqlStore.in_folder(tmp_path)
    opened.reviews.save_queue(QUEUE, ENTRY)
    yield opened
    opened.close()


def a_review(reviews: Any) -> Review:
    return Review(reviews, None, lambda: NOON, lambda: None)  # type: ignore[arg-type]


async def test_of_two_votes_at_once_both_are_weighed(store: SqlStore) -> None:
    reviews = Hesitant(store, "votes")
    review = a_review(reviews)
    one, other = (review.vote(pair.id, "ann", Choice.SAME) for pair in QUEUE.pairs[:2])
    await reviews.meanwhile(one, other)
    weighed = review.opinions["r1"]
    assert weighed.votes + weighed.uncounted == 2


async def test_no_correction_outlives_a_forgetting_at_the_same_moment(store: SqlStore) -> None:
    reviews = Hesitant(store, "add_vote")
    review = a_review(reviews)
    vote = review.vote(QUEUE.pairs[0].id, "ann", Choice.NEITHER, "what was said")
    await reviews.meanwhile(vote, review.forget("r1", None, "ann"))
    assert [v.corrected for v in await asyncio.to_thread(store.reviews.votes, "r1")] == [None]


async def test_texts_that_were_read_before_a_forgetting_are_not_shown_after_it(
    store: SqlStore,
) -> None:
    reviews = Hesitant(store, "queue")
    review = a_review(reviews)
    await reviews.meanwhile(review.ask("r1", "ann"), review.forget("r1", None, "ann"))
    assert await review.ask("r1", "bob") is None
    with pytest.raises(NotFound, match="was forgotten"):
        await review.vote(QUEUE.pairs[0].id, "ann", Choice.SAME)


async def test_pairs_that_are_forgotten_at_once_are_all_forgotten(store: SqlStore) -> None:
    review = a_review(store.reviews)
    ids = [pair.id for pair in QUEUE.pairs]
    assert await asyncio.gather(*(review.forget("r1", [i], "ann") for i in ids)) == [1] * len(ids)
    assert await review.ask("r1", "ann") is None


async def test_a_queue_that_several_make_at_once_is_one(store: SqlStore) -> None:
    review = a_review(store.reviews)
    for name in ("r2", "r3", "r4"):
        made = await asyncio.gather(*(review.make(name, [], "ann") for _ in range(6)))
        assert all(queue == made[0] for queue in made)
