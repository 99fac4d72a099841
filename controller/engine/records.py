"""What the store keeps beside fleet and rollouts: events, intents, evaluations."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.core.errors import Refused
from controller.core.fleet import Fleet
from controller.core.review.pairs import ReviewPair
from controller.core.review.votes import Choice, Vote
from controller.core.rollout import Rollout
from controller.core.version import Version

CLIENT_LEFT = 499  # nginx's own status
Command = Literal["start", "promote", "pause", "resume", "retry", "abort", "rollback"]


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the append-only audit: who, when, what, why. `id` is given by the store."""

    kind: str  # noun.past_participle, such as rollout.phase_changed
    subject: str
    message: str
    actor: str
    at: datetime.datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A command that was accepted, and that the loop carries out, also after a crash."""

    id: int
    command: Command
    arguments: Mapping[str, Any]
    actor: str
    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an intent, in words; `refusal` is why it was not carried out."""

    message: str
    refusal: Refused | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One version's transcripts of one eval set. `hypotheses` has None where a request failed;
    `seconds` is how long each answer took, where that is known."""

    version: str
    version_digest: str
    eval_set: str
    eval_set_digest: str
    at: datetime.datetime
    hypotheses: Mapping[str, str | None]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """What people are asked to compare in a rollout. `seed` decides sides and order."""

    rollout_id: str
    seed: str
    at: datetime.datetime
    pairs: tuple[ReviewPair, ...]


@dataclass(frozen=True, slots=True)
class CastVote:
    """A vote as it was given: `choice` is what the person saw and said."""

    vote: Vote
    choice: Choice
    at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Saved:
    """The state as it was last saved. `fleet` is None before the first `up`; `rollout` is the
    newest, ended or not; `digests` are those pinned so far, by version."""

    fleet: Fleet | None
    rollout: Rollout | None
    versions: Mapping[str, Version]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Served:
    """One request, as the router logged it: `decided_by` a rule or the percentage; `attempts`
    are (node address, status), in order; `at` is when the answer ended, in seconds since the
    epoch.

    `seconds`, `model_seconds` and `characters` (0: an empty answer) are the first attempt's, by a
    node of `pool`, and never those of whoever answered in its place; None where unknown.
    `audio_seconds`, the recording's length, is the same whoever answered. `group` is the version
    (or `backup`) that `pool` was then; `waited_seconds` how long the client waited in all.
    `shadow`: a copy of it was sent to the new version. `kept`: no node could serve it, and the
    spool has it."""

    pool: str
    decided_by: str
    key_hash: str
    status: int
    attempts: tuple[tuple[str, int | None], ...]
    at: float = 0.0
    seconds: float | None = None
    audio_seconds: float | None = None
    model_seconds: float | None = None
    characters: int | None = None
    group: str = ""
    waited_seconds: float = 0.0
    request_id: str = ""
    shadow: bool = False
    kept: bool = False

    @property
    def client_left(self) -> bool:
        """Before there was an answer: nobody's success and nobody's failure."""
        return self.status == CLIENT_LEFT
