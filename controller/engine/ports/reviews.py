"""What is kept for people who compare texts: their votes, and the recordings they hear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from controller.core.review.votes import Vote
from controller.engine.records import CastVote, Event, ReviewQueue


class Reviews(Protocol):
    """Durable: pairs of texts that people compare, and their votes. Called in threads."""

    def queue(self, rollout_id: str) -> ReviewQueue | None:
        """None where none was made."""
        ...

    def newest(self) -> str | None:
        """The name of the newest queue; None where there is none."""
        ...

    def rollout_of(self, pair_id: str) -> str | None:
        """The rollout that a pair is of; None for an unknown one."""
        ...

    def of_recordings(self, sources: Sequence[str]) -> dict[str, list[str]]:
        """The pairs of which people hear one of these files, by their queue."""
        ...

    def save_queue(self, queue: ReviewQueue, entry: Event) -> None:
        """A second queue of the same rollout changes nothing."""
        ...

    def add_vote(self, rollout_id: str, cast: CastVote, entry: Event) -> None: ...

    def votes(self, rollout_id: str) -> list[Vote]:
        """The newest of each person on each pair."""
        ...

    def forget(self, rollout_id: str, pairs: Sequence[str], entry: Event) -> None:
        """Remove texts, recordings' names and corrections of these pairs for good."""
        ...

    def leave_no_trace(self) -> None:
        """Of what was forgotten, where a reader was in the way then; to be repeated."""
        ...


class Recordings(Protocol):
    """Recordings of copied requests, kept where fleet.yaml allows it. Called in threads."""

    def find(self, node: str, entry_id: str) -> Path | None:
        """The recording of a row of this node's history, where it is kept."""
        ...

    def keep(self, name: str, recording: Path) -> Path:
        """Take it for the review. Raises OSError."""
        ...

    def remove(self, paths: Iterable[Path]) -> int:
        """Those of them that are kept copies; how many there were."""
        ...

    def older_than(self, days: float) -> list[Path]:
        """All that are kept for longer."""
        ...
