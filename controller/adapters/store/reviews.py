"""What people are asked to compare, their votes, and the forgetting of both."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, insert, null, select, text, update
from sqlalchemy.engine import Engine

from controller.adapters.store.tables import review_pairs, review_queues, review_votes
from controller.core.eval_set import Utterance
from controller.core.review.pairs import Difference, ReviewPair
from controller.core.review.votes import Preference, Vote
from controller.engine.records import CastVote, Event, ReviewQueue

log = logging.getLogger(__name__)

_READERS_MS: Final = 300  # are waited for; nobody can write meanwhile


class SqlReviews:
    """Implements the Reviews port; each method is one transaction, with its event."""

    def __init__(self, engine: Engine, add_event: Callable[[Connection, Event], Event]) -> None:
        self._engine = engine
        self._add_event = add_event
        self._traces = True  # maybe: the last process may have been killed

    def queue(self, rollout_id: str) -> ReviewQueue | None:
        """None where none was made."""
        with self._engine.connect() as connection:
            query = select(review_queues).where(review_queues.c.rollout_id == rollout_id)
            head = connection.execute(query).first()
            if head is None:
                return None
            query = select(review_pairs).where(review_pairs.c.rollout_id == rollout_id)
            pairs = [_pair(row) for row in connection.execute(query).all()]
        at = datetime.datetime.fromisoformat(head.at)
        pairs.sort(key=lambda pair: (pair.group, pair.id))
        return ReviewQueue(rollout_id, head.seed, at, tuple(pairs))

    def newest(self) -> str | None:
        """The name of the newest queue."""
        query = select(review_queues.c.rollout_id).order_by(review_queues.c.at.desc())
        with self._engine.connect() as connection:
            return connection.scalar(query.limit(1))

    def rollout_of(self, pair_id: str) -> str | None:
        query = select(review_pairs.c.rollout_id).where(review_pairs.c.id == pair_id)
        with self._engine.connect() as connection:
            return connection.scalar(query)

    def of_recordings(self, sources: Sequence[str]) -> dict[str, list[str]]:
        """The pairs of which people hear one of these files, by their queue."""
        wanted, found = set(sources), dict[str, list[str]]()
        query = select(review_pairs).where(review_pairs.c.difference.is_not(None))
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                if row.difference and row.difference["utterance"]["source"] in wanted:
                    found.setdefault(row.rollout_id, []).append(row.id)
        return found

    def save_queue(self, queue: ReviewQueue, entry: Event) -> None:
        """A queue is made once: a second of the same rollout changes nothing."""
        row = {"rollout_id": queue.rollout_id, "seed": queue.seed, "at": queue.at.isoformat()}
        known = select(review_queues).where(review_queues.c.rollout_id == queue.rollout_id)
        with self._engine.begin() as connection:
            if connection.execute(known).first() is not None:
                return
            connection.execute(insert(review_queues).values(**row))
            if queue.pairs:
                rows = [_pair_row(queue.rollout_id, pair) for pair in queue.pairs]
                connection.execute(insert(review_pairs), rows)
            self._add_event(connection, entry)

    def add_vote(self, rollout_id: str, cast: CastVote, entry: Event) -> None:
        """The newest vote of a person on a pair counts; those before stay to be read."""
        row = {
            "pair_id": cast.vote.pair,
            "rollout_id": rollout_id,
            "rater": cast.vote.rater,
            "at": cast.at.isoformat(),
            "choice": cast.choice.value,
            "prefers": cast.vote.prefers.value,
            "corrected": cast.vote.corrected,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(review_votes).values(**row))
            self._add_event(connection, entry)

    def votes(self, rollout_id: str) -> list[Vote]:
        """The newest of each person on each pair, oldest first."""
        query = select(review_votes).where(review_votes.c.rollout_id == rollout_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(review_votes.c.id)).all()
        newest = {(row.pair_id, row.rater): row for row in rows}
        return [
            Vote(row.pair_id, row.rater, Preference(row.prefers), row.corrected)
            for row in newest.values()
        ]

    def forget(self, rollout_id: str, pairs: Sequence[str], entry: Event) -> None:
        """Remove texts, recordings' names and corrections; how people voted stays."""
        known = review_pairs.c.rollout_id == rollout_id
        with self._engine.begin() as connection:
            gone = known & review_pairs.c.id.in_(pairs)
            connection.execute(update(review_pairs).where(gone).values(difference=null()))
            gone = (review_votes.c.rollout_id == rollout_id) & review_votes.c.pair_id.in_(pairs)
            connection.execute(update(review_votes).where(gone).values(corrected=None))
            self._add_event(connection, entry)
        self._traces = True
        self.leave_no_trace()

    def leave_no_trace(self) -> None:
        """SQLite keeps what was overwritten in its log until that is written back, for which it
        waits until nobody reads what was there: to be repeated, and nothing where it is done."""
        if not self._traces or self._engine.dialect.name != "sqlite":
            return
        with self._engine.connect() as connection:
            connection.detach()  # from the pool: no other call is to wait as shortly
            connection.execute(text(f"PRAGMA busy_timeout={_READERS_MS}"))
            self._traces = bool(connection.scalar(text("PRAGMA wal_checkpoint(TRUNCATE)")))
        if self._traces:
            log.warning("review.traces_remain in=state.db-wal reason=somebody reads the database")


def _pair_row(rollout_id: str, pair: ReviewPair) -> dict[str, Any]:
    place = {"group": pair.group, "sample": pair.sample, "worst": pair.worst}
    difference = asdict(pair.difference) if pair.difference is not None else None
    return {"id": pair.id, "rollout_id": rollout_id, "place": place, "difference": difference}


def _pair(row: Any) -> ReviewPair:
    return ReviewPair(row.id, **row.place, difference=_difference(row.difference))


def _difference(kept: Mapping[str, Any] | None) -> Difference | None:
    if kept is None:
        return None
    lists = {key: tuple(v) for key, v in kept["utterance"].items() if isinstance(v, list)}
    return Difference(**{**kept, "utterance": Utterance(**{**kept["utterance"], **lists})})
