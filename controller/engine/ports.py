"""What the engine needs from the outside world. Adapters implement these; `api` wires them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from controller.core.eval_set import EvalSet
from controller.core.fleet import Fleet
from controller.core.health import NodeMemory
from controller.core.review.votes import Vote
from controller.core.rollout import Rollout
from controller.core.routing import Membership, Routing
from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Counted, Disagreement, Heard
from controller.core.version import Version
from controller.engine.records import (
    CastVote,
    Command,
    Evaluation,
    Event,
    Intent,
    Outcome,
    ReviewQueue,
    Saved,
    Served,
)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node that must exist. `device` is auto, cpu, cuda:0, …"""

    name: str
    version: Version
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node as the runtime sees it, running or ended. `instance` differs for every start
    (pid and start time, or container id). `address` is host:port as controller and router
    reach it; None while not known. `version` is the version's name. `paused`: it is there and
    does nothing (stopped by a signal, or by the engine)."""

    name: str
    version: str
    instance: str
    running: bool
    address: str | None
    started_at: datetime.datetime
    exit_status: int | None = None
    device: str = "auto"
    paused: bool = False


class Runtime(Protocol):
    """Runs nodes. Every call is idempotent and raises RuntimeUnavailable on failure.

    Nodes belong to one service and state folder; those of others are never seen or touched.
    Implementations do blocking work in threads: no call blocks the event loop."""

    name: str  # "docker" or "process"

    async def observe(self) -> tuple[ObservedNode, ...]:
        """All nodes of this service, also those that ended and were not removed."""
        ...

    async def start(self, spec: NodeSpec) -> None:
        """Start the node unless it runs; an ended one of that name is replaced. Returns once
        the process or container exists, not when it is ready."""
        ...

    async def stop(self, name: str, grace_seconds: float) -> None:
        """SIGTERM, after `grace_seconds` SIGKILL; then remove. Returns when it is gone."""
        ...

    async def kill(self, name: str) -> None:
        """SIGKILL at once, also when it is frozen; it stays observable as ended."""
        ...

    async def last_log(self, name: str, lines: int = 20) -> str:
        """The end of the node's log, for a message to a person; "" when there is none."""
        ...

    async def close(self) -> None:
        """Release connections; nodes keep running."""
        ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """A node's answer to GET /readyz and /version."""

    ready: bool
    reason: str
    version: str
    digest: str | None
    in_flight: int
    degraded: str | None = None  # why it runs on a lesser device than it was asked to
    memory: tuple[NodeMemory, ...] = ()


class NodeClient(Protocol):
    """Talks to nodes over HTTP. Raises NodeUnavailable; `transcribe` NoTranscript where the node
    was reached and had time, so that another try gives no other answer."""

    async def alive(self, address: str, timeout_seconds: float) -> None: ...

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness: ...

    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str: ...

    async def history(
        self, address: str, after: int, limit: int, timeout_seconds: float
    ) -> tuple[list[Heard], int]:
        """Up to `limit` rows behind the cursor `after`, and the cursor to go on with."""
        ...


@dataclass(frozen=True, slots=True)
class RouterState:
    """What the router serves with now. `loaded` is the membership of the newest generation
    that answered; None before the first load."""

    url: str
    running: bool
    generation: int
    loaded: Membership | None
    routing: Routing | None


class Router(Protocol):
    """nginx. Raises RouterUnavailable; after ReloadRejected the old configuration serves."""

    def state(self) -> RouterState:
        """From memory; no I/O."""
        ...

    async def start(self, membership: Membership, routing: Routing) -> None:
        """Start nginx, or adopt the one that runs (after a crash of the controller), and load."""
        ...

    async def load(self, membership: Membership, routing: Routing) -> None:
        """Render, `nginx -t` the candidate, swap atomically, reload, wait until the new
        generation answers. Where nginx has died: start it with the new configuration."""
        ...

    async def switch(self, routing: Routing) -> None:
        """Write routing.json atomically, then the shared dictionary: milliseconds, no reload."""
        ...

    async def check(self) -> bool:
        """Whether nginx runs and answers on its control socket, within 1 s. `state().running`
        becomes False where it has ended, or was silent several times in a row."""
        ...

    async def stop(self) -> None:
        """Stop nginx gracefully; idempotent."""
        ...


class Store(Protocol):
    """Durable state. Synchronous: called in threads. Each method is one transaction."""

    def load(self) -> Saved: ...

    def save(
        self,
        events: Sequence[Event],
        fleet: Fleet | None = None,
        rollout: Rollout | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: Rollout | None = None,
    ) -> list[Event]:
        """`earlier`: a rollout before the newest that changes with it."""
        ...

    def promotion_of(self, version: str) -> Rollout | None:
        """The newest rollout that ended with this version promoted, and was not taken back."""
        ...

    def save_version(self, version: Version, digest: str | None, entry: Event) -> None: ...

    def add_intent(self, command: Command, arguments: dict[str, Any], actor: str) -> Intent: ...

    def pending_intents(self) -> list[Intent]: ...

    def save_evaluation(self, evaluation: Evaluation, entry: Event) -> None: ...

    def save_live_evidence(
        self, rollout_id: str, position: str | None, state: dict[str, Any]
    ) -> None:
        """What live traffic has shown, and how far the access log was read for it."""
        ...

    def live_evidence(self, rollout_id: str) -> tuple[str | None, dict[str, Any]] | None:
        """Position and state as they were saved last; None where there are none."""
        ...

    def evaluation(self, version_digest: str, eval_set_digest: str) -> Evaluation | None: ...

    @property
    def reviews(self) -> Reviews: ...

    @property
    def shadows(self) -> ShadowStore: ...


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


class ShadowStore(Protocol):
    """Durable: what was heard of copied requests. Each may be repeated. Called in threads."""

    def cursors(self, rollout_id: str) -> dict[str, int]:
        """How far each node's history was read, by its name."""
        ...

    def take(self, rollout_id: str, node: str, position: int, heard: Sequence[Heard]) -> None:
        """Rows of a node's history, and how far it was read with them."""
        ...

    def take_keys(self, rollout_id: str, keys: Mapping[str, str]) -> None:
        """Hashes of sticky keys, by request."""
        ...

    def uncompared(self, rollout_id: str, limit: int) -> list[tuple[Heard, Heard]]:
        """Pairs of which both halves and the sticky key are there, stable's half first."""
        ...

    def compared(self, rollout_id: str, found: Mapping[str, Counted | None]) -> None:
        """What was counted, by request; None: nothing that counts."""
        ...

    def tallies(self, rollout_id: str) -> list[Tally]:
        """Pairs that were counted, by sticky key."""
        ...

    def disagreements(self, rollout_id: str, limit: int) -> list[Disagreement]:
        """The pairs that differ most, worst first, with their texts."""
        ...

    def keep_worst(self, rollout_id: str) -> None:
        """Forget the texts of all pairs but those that differ most."""
        ...

    def forget_old(self) -> None:
        """Of any rollout: halves that waited too long, and what only counts and is added up."""
        ...

    def end(self, rollout_id: str) -> None:
        """Forget what never became pairs, and the cursors."""
        ...

    def forget_texts(self, rollout_id: str, request_ids: Sequence[str]) -> None:
        """Of these pairs; what was counted stays."""
        ...


class AccessLog(Protocol):
    """What the router served."""

    @property
    def position(self) -> str | None:
        """How far it was read, for `resume`."""
        ...

    def resume(self, position: str) -> None:
        """Go on where another reader was; else it begins with what is served from now on."""
        ...

    def read(self) -> list[Served]:
        """Each request once, as far as they were served since the last look. Blocking."""
        ...


@dataclass(slots=True)
class Ports:
    """The outside world, as `api` puts it together."""

    store: Store
    runtime: Runtime
    router: Router
    client: NodeClient
    access_log: AccessLog
    eval_set: Callable[[str], EvalSet]  # by name; blocking
    now: Callable[[], datetime.datetime]
