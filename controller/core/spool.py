"""The last resort: requests that no node could serve, kept until one can. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ENOUGH_FAILURES: Final = 5  # nodes in a row that a request has ended, or that have failed on it
LONGEST_PAUSE_SECONDS: Final = 60.0
FINISHED_BYTES: Final = 16 * 1024  # on the disk, of an entry's folder and its small files
_MEBIBYTE: Final = 1024 * 1024


class SpoolWhen(StrEnum):
    """Which requests are kept where no node can serve."""

    ASKED = "asked"  # those with `Prefer: respond-async` (RFC 7240)
    ALWAYS = "always"  # every one
    NEVER = "never"  # none; what was kept before is answered all the same


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept, of all clients or of one: requests that wait, and bytes of recordings."""

    waiting: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`max_bytes` limits all recordings that are kept, `max_entries` those that wait, and
    `client_percent` what one client may have of either. After `max_age_seconds` what waits is
    given up, and what was answered is deleted; before that, the oldest where answers are more
    than `max_answer_bytes`."""

    when: SpoolWhen = SpoolWhen.ASKED
    max_bytes: int = 2048 * 1024 * 1024
    max_entries: int = 1000
    max_age_seconds: float = 86400.0
    max_answer_bytes: int = 512 * _MEBIBYTE
    client_percent: int = 100

    def no_room_for(self, length: int, every: Held, client: Held) -> str | None:
        """Why a request of `length` bytes cannot be kept beside those of every client and of its
        own, in words; None where it can."""
        if every.waiting >= self.max_entries:
            return f"{every.waiting} requests wait already, the most that this fleet keeps"
        if every.bytes + length > self.max_bytes:
            return f"recordings fill the {self.max_bytes // _MEBIBYTE} MiB that this fleet keeps"
        most = max(1, self.max_entries * self.client_percent // 100)
        if client.waiting >= most:
            return f"{client.waiting} of yours wait already, the most that it keeps of one client"
        if client.bytes + length > self.max_bytes * self.client_percent // 100:
            return f"yours fill the {self.client_percent} % of its room that one client may have"
        return None


class SpoolState(StrEnum):
    WAITING = "waiting"
    ANSWERED = "answered"
    EXPIRED = "expired"  # the recording or the answer is deleted, and nothing comes any more


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is repeated to a node. `target` is path and query; `key_hash` is of the API
    key that it came with ("" without); `request_id` and `sha256` (of the body, "" while not known)
    tell a repetition by its sender, who may have another address by then. `client`, a hash of the
    key or else of the address, is whose quota it takes."""

    target: str
    content_type: str
    key_hash: str = ""
    request_id: str = ""
    sha256: str = ""
    client: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A request that was kept. `id` cannot be guessed; `order` is that of acceptance; `size` is of
    the body, in bytes, `answer_bytes` of the answer; `failures` counts nodes in a row that failed
    on it."""

    id: str
    order: int
    accepted_at: datetime.datetime
    asked: Asked
    size: int
    failures: int = 0
    answered_at: datetime.datetime | None = None
    expired_at: datetime.datetime | None = None
    answer_bytes: int = 0

    @property
    def state(self) -> SpoolState:
        if self.expired_at is not None:
            return SpoolState.EXPIRED
        return SpoolState.WAITING if self.answered_at is None else SpoolState.ANSWERED

    def expires_at(self, limits: SpoolLimits) -> datetime.datetime:
        """When it is given up; of one that was answered, when the answer is deleted; of one that
        has expired, when it is forgotten."""
        begun = self.expired_at or self.answered_at or self.accepted_at
        return begun + datetime.timedelta(seconds=limits.max_age_seconds)

    @property
    def given_up(self) -> bool:
        return self.failures >= ENOUGH_FAILURES

    @property
    def has_body(self) -> bool:
        """The recording of a request that was given up stays for whoever wants to know why."""
        kept = self.answered_at is None or self.given_up
        return kept and self.expired_at is None

    @property
    def pause_seconds(self) -> float:
        """How long a request that failed lets others go first."""
        return min(2.0**self.failures, LONGEST_PAUSE_SECONDS) if self.failures else 0.0


def surplus(entries: Iterable[SpoolEntry], limits: SpoolLimits) -> list[SpoolEntry]:
    """The oldest of what was answered or has expired, so that the rest takes no more than
    `max_answer_bytes`. Never one that waits, nor the newest answer: its sender had no time to
    fetch it."""
    finished = [entry for entry in entries if entry.state is not SpoolState.WAITING]
    finished.sort(key=_finished_at)
    over = sum(map(_finished_bytes, finished)) - limits.max_answer_bytes
    found = []
    for entry in finished[:-1]:
        if over <= 0:
            break
        over -= _finished_bytes(entry)
        found.append(entry)
    return found


def _finished_at(entry: SpoolEntry) -> datetime.datetime:
    return entry.answered_at or entry.expired_at or entry.accepted_at


def _finished_bytes(entry: SpoolEntry) -> int:
    return FINISHED_BYTES + (entry.answer_bytes if entry.state is SpoolState.ANSWERED else 0)


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """A node's own answer, for whoever asks for the result."""

    status: int
    content_type: str
    body: bytes
    node: str
    version: str
