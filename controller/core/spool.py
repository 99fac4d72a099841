"""The last resort: requests that no node could serve, kept until one can. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ENOUGH_FAILURES: Final = 5  # nodes in a row that a request has ended, or that have failed on it
LONGEST_PAUSE_SECONDS: Final = 60.0


class SpoolWhen(StrEnum):
    """Which requests are kept where no node can serve."""

    ASKED = "asked"  # those with `Prefer: respond-async` (RFC 7240)
    ALWAYS = "always"  # every one
    NEVER = "never"  # none; what was kept before is answered all the same


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`max_bytes` limits all recordings that are kept, `max_entries` those that wait; after
    `max_age_seconds` what waits is given up, and what was answered is deleted."""

    when: SpoolWhen = SpoolWhen.ASKED
    max_bytes: int = 2048 * 1024 * 1024
    max_entries: int = 1000
    max_age_seconds: float = 86400.0

    def no_room_for(self, length: int, waiting: int, held_bytes: int) -> str | None:
        """Why a request of `length` bytes cannot be kept, in words; None where it can."""
        if waiting >= self.max_entries:
            return f"{waiting} requests wait already, the most that this fleet keeps"
        if held_bytes + length > self.max_bytes:
            mebibytes = self.max_bytes // (1024 * 1024)
            return f"recordings fill the {mebibytes} MiB that this fleet keeps"
        return None


class SpoolState(StrEnum):
    WAITING = "waiting"
    ANSWERED = "answered"
    EXPIRED = "expired"  # the recording or the answer is deleted, and nothing comes any more


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it is repeated to a node. `target` is path and query; `key_hash` is of the API
    key that it came with ("" without); `request_id` and `sha256` (of the body, "" while not known)
    tell a repetition by its sender."""

    target: str
    content_type: str
    key_hash: str = ""
    request_id: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A request that was kept. `id` cannot be guessed; `order` is that of acceptance; `size` is of
    the body, in bytes; `failures` counts nodes in a row that failed on it."""

    id: str
    order: int
    accepted_at: datetime.datetime
    asked: Asked
    size: int
    failures: int = 0
    answered_at: datetime.datetime | None = None
    expired_at: datetime.datetime | None = None

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


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """A node's own answer, for whoever asks for the result."""

    status: int
    content_type: str
    body: bytes
    node: str
    version: str
