"""What the store keeps beside fleet and rollouts: events, intents, evaluations."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.core.errors import Refused
from controller.core.fleet import Fleet
from controller.core.rollout import Rollout
from controller.core.version import Version

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
    """One version's transcripts of one eval set. `hypotheses` has None where a request failed."""

    version: str
    version_digest: str
    eval_set: str
    eval_set_digest: str
    at: datetime.datetime
    hypotheses: Mapping[str, str | None]


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
    are (node address, status), in order."""

    pool: str
    decided_by: str
    key_hash: str
    status: int
    attempts: tuple[tuple[str, int | None], ...]
