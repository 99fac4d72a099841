"""Has the nodes answer what was kept while none could serve: in order, one at a time, once each."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from controller.core.desired import Desired, NodeView
from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.routing import BACKUP_GROUP
from controller.core.spool import LONGEST_PAUSE_SECONDS, LateAnswer, SpoolEntry
from controller.engine.jobs import Jobs
from controller.engine.ports.store import Store
from controller.engine.records import Event

log = logging.getLogger(__name__)
_JOB: Final = "spool"
_PATIENCE: Final = 10  # rounds that a request waits for busy nodes before it lets others go first


class Spool(Protocol):
    """Durable. Called in threads."""

    counts: Counter[str]

    def waiting(self) -> list[SpoolEntry]:
        """In the order of acceptance."""
        ...

    def body(self, entry: SpoolEntry) -> Path: ...

    def answer(self, entry: SpoolEntry, answer: LateAnswer) -> None: ...

    def failed(self, entry: SpoolEntry) -> SpoolEntry: ...

    def sweep(self) -> int: ...

    def summary(self) -> dict[str, Any]: ...


class Sender(Protocol):
    """Raises NodeUnavailable where the node could not be asked, NoTranscript where it failed."""

    async def ask(self, address: str, entry: SpoolEntry, body: Path) -> LateAnswer: ...


def serving_addresses(wanted: Desired, views: Iterable[NodeView]) -> list[str]:
    """The ready nodes that serve the stable traffic, then the backup's; none while nobody is
    known to be healthy, though the router may still try the last nodes."""
    if not wanted.routing.known_healthy:
        return []
    ready = {view.address for view in views if view.ready}
    names = dict.fromkeys((wanted.routing.stable, BACKUP_GROUP))
    groups = [g for name in names if (g := wanted.membership.group(name)) is not None]
    found = [endpoint.address for group in groups for endpoint in group.endpoints]
    return [address for address in dict.fromkeys(found) if address in ready]


class SpoolKeeper:
    """`addresses` are the ready nodes that serve the stable traffic, then the backup's; none
    while there are none. One job at a time does everything that changes entries."""

    def __init__(
        self,
        spool: Spool,
        sender: Sender,
        addresses: Callable[[], Sequence[str]],
        jobs: Jobs,
        store: Store,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._spool = spool
        self._sender = sender
        self._addresses = addresses
        self._jobs = jobs
        self._store = store
        self._now = now
        self._due: dict[str, float] = {}  # of those that let others go first, monotonic
        self._refused: Counter[str] = Counter()  # rounds in which nodes were too busy for it
        self._turned_away = 0  # by nodes that were too busy, all requests together
        self._told = _Told()

    def summary(self) -> dict[str, Any]:
        """For `status` and metrics."""
        return self._spool.summary()

    @property
    def remembered(self) -> set[str]:
        """The ids of those that nodes failed on, or were too busy for."""
        return {*self._due, *self._refused}

    async def round(self) -> None:
        """A timer calls this; the work is a job."""
        self._jobs.ensure(_JOB, self._work)

    async def _work(self) -> None:
        await self._tell(self._told.before(self._spool.counts, len(self._spool.waiting())))
        await asyncio.to_thread(self._spool.sweep)
        self._forget_who_waits_no_more()
        while (entry := self._next()) is not None and (addresses := self._addresses()):
            if not await self._ask(entry, addresses):
                break  # it is tried again in the next round, before those behind it
        await self._tell(self._told.after(self._spool.counts, len(self._spool.waiting())))

    def _next(self) -> SpoolEntry | None:
        now = time.monotonic()
        waiting = self._spool.waiting()
        return next((entry for entry in waiting if self._due.get(entry.id, 0.0) <= now), None)

    def _forget_who_waits_no_more(self) -> None:
        """Senders delete, and what is too old expires."""
        waiting = {entry.id for entry in self._spool.waiting()}
        self._due = {name: due for name, due in self._due.items() if name in waiting}
        self._refused = Counter({name: n for name, n in self._refused.items() if name in waiting})

    async def _ask(self, entry: SpoolEntry, addresses: Sequence[str]) -> bool:
        """Whether to go on at once."""
        try:
            return await self._try(entry, addresses)
        except OSError as error:  # of our disk, which may be full; %r has no path, a secret here
            log.error("spool.disk_failed order=%s reason=%r", entry.order, error)
            self._due[entry.id] = time.monotonic() + LONGEST_PAUSE_SECONDS
            return False  # but another one is next

    async def _try(self, entry: SpoolEntry, addresses: Sequence[str]) -> bool:
        address = addresses[(entry.failures + self._turned_away) % len(addresses)]
        try:
            answer = await self._sender.ask(address, entry, self._spool.body(entry))
        except NoTranscript as error:
            await self._failed(entry, str(error))
        except NodeUnavailable as error:
            log.info("spool.not_asked order=%s reason=%s", entry.order, error)
            self._turned_away += 1  # the next node has its turn
            return self._is_patience_over(entry)
        except OSError:
            raise  # says nothing of the request
        except Exception as error:  # of this one only: it must not keep the others waiting
            await self._failed(entry, repr(error))
        else:
            await self._answer(entry, answer)
        return True

    async def _failed(self, entry: SpoolEntry, reason: str) -> None:
        entry = await asyncio.to_thread(self._spool.failed, entry)
        log.warning("spool.failed order=%s times=%s reason=%s", entry.order, entry.failures, reason)
        if entry.given_up:
            await self._answer(entry, _given_up(entry, reason))
        else:
            self._due[entry.id] = time.monotonic() + entry.pause_seconds

    async def _answer(self, entry: SpoolEntry, answer: LateAnswer) -> None:
        await asyncio.to_thread(self._spool.answer, entry, answer)
        self._due.pop(entry.id, None)
        self._refused.pop(entry.id, None)

    def _is_patience_over(self, entry: SpoolEntry) -> bool:
        """A node may be busy for all, or have no room for this one only."""
        self._refused[entry.id] += 1
        if self._refused[entry.id] % _PATIENCE:
            return False
        self._due[entry.id] = time.monotonic() + _PATIENCE
        return True

    async def _tell(self, message: tuple[str, str] | None) -> None:
        if message is not None:
            kind, text = message
            event = Event(kind, "spool", text, "controller", self._now())
            await asyncio.to_thread(self._store.save, [event])


class _Told:
    """What the audit was told of this outage; known only since this controller began."""

    def __init__(self) -> None:
        self._base: Counter[str] = Counter()  # the counts when nothing waited
        self._begun = self._full = False

    def before(self, counts: Counter[str], waiting: int) -> tuple[str, str] | None:
        if waiting and not self._begun:
            self._begun, self._full = True, False
            return "spool.began", (
                f"no node could serve: requests are kept ({waiting} so far) until one can"
            )
        if self._begun and not self._full and counts["refused"] > self._base["refused"]:
            self._full = True
            return "spool.refused", "there is no room to keep more requests: they get 503"
        return None

    def after(self, counts: Counter[str], waiting: int) -> tuple[str, str] | None:
        if waiting:
            return None
        late, self._base = counts - self._base, counts.copy()
        told = [f"{words}: {late[name]}" for name, words in _OUTCOMES.items() if late[name]]
        begun, self._begun = self._begun, False
        return ("spool.drained", ", ".join(told)) if begun else None


_OUTCOMES: Final = {
    "answered": "requests that were answered late",
    "given_up": "given up, since nodes failed on them",
    "expired": "too old before a node could serve",
    "withdrawn": "deleted by their senders",
    "dropped": "answers deleted before their time, since all of them were too much",
}


def _given_up(entry: SpoolEntry, reason: str) -> LateAnswer:
    error = {
        "message": f"{entry.failures} nodes in a row failed on this request, so it was given up. "
        f"The last: {reason}",
        "type": "server_error",
        "param": None,
        "code": "given_up",
    }
    body = json.dumps({"error": error}).encode()
    return LateAnswer(500, "application/json", body, "router", "")
