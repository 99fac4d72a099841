"""The spool: a folder of kept requests, each in a folder of its own (spool_entry)."""

from __future__ import annotations

import collections
import datetime
import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from controller.adapters import spool_entry
from controller.adapters.files import sync_folder, write_atomically
from controller.adapters.spool_damaged import DamagedEntries
from controller.adapters.spool_incoming import Incoming, no_disk
from controller.adapters.spool_opening import COMING, open_entries
from controller.core.errors import SpoolFull
from controller.core.spool import (
    Asked,
    Held,
    LateAnswer,
    SpoolEntry,
    SpoolLimits,
    SpoolState,
    surplus,
)

log = logging.getLogger(__name__)
_SALT: Final = "key_salt"


class SpoolFolder:
    """Its methods block, and may be called from several threads. What the index in memory says
    is what the files say; `open` reads it."""

    def __init__(
        self, path: Path, limits: SpoolLimits, now: Callable[[], datetime.datetime]
    ) -> None:
        self.path = path
        self.limits = limits
        self.counts: collections.Counter[str] = collections.Counter()
        self._now = now
        self._entries: dict[str, SpoolEntry] = {}
        self._damaged = DamagedEntries()
        self._coming: list[Incoming] = []
        self._last_order = 0
        self._lock = threading.RLock()

    def open(self) -> None:
        """Heal what a kill has left, and know what is there. A disk that does not let us keeps
        nothing from beginning but the spool."""
        try:
            found, self._last_order = open_entries(self.path, self._damaged, self._now)
        except OSError as error:
            log.error("spool.not_opened reason=%r", error)
        else:
            self._entries = {entry.id: entry for entry in found}

    def hash_of(self, secret: str) -> str:
        """What is kept of an API key or an address: it tells who asked, and is no use to a thief.

        Raises SpoolFull where the disk is."""
        path = self.path / _SALT
        try:
            with self._lock:
                if not path.exists():
                    write_atomically(path, secrets.token_hex(32))
                    sync_folder(self.path)
            return hmac.new(path.read_bytes(), secret.encode(), hashlib.sha256).hexdigest()
        except OSError as error:
            raise no_disk(error) from error

    # -- what comes in ----------------------------------------------------------------------

    def receive(self, asked: Asked, length: int) -> Incoming:
        """Begin to keep a request with a body of `length` bytes. Raises SpoolFull."""
        name = secrets.token_urlsafe(32)
        folder = self.path / f"{COMING}{name}"
        incoming = Incoming(name, folder, asked, length, self._accept, self._end)
        with self._lock:
            problem = self.limits.no_room_for(length, self._held(), self._held(asked.client))
            if problem is not None:
                raise SpoolFull(problem)
            self._coming.append(incoming)
        return incoming

    def _held(self, client: str | None = None) -> Held:
        """Of one client, or without one of all; with what is being received."""
        kept = [e for e in self._entries.values() if client in {None, e.asked.client}]
        coming = [i.length for i in self._coming if client in {None, i.client}]
        return Held(
            waiting=sum(e.state is SpoolState.WAITING for e in kept) + len(coming),
            bytes=sum(e.size for e in kept if e.has_body) + sum(coming),
        )

    def _accept(self, incoming: Incoming, asked: Asked) -> SpoolEntry:
        """From here on it is answered, whatever dies. A request that its sender repeats, not
        knowing that it was accepted, is the same one."""
        with self._lock:
            for known in self._entries.values():
                same = bool(asked.request_id) and known.asked == asked
                if same and known.state is not SpoolState.EXPIRED:
                    return known
            order = self._last_order + 1
            entry = SpoolEntry(incoming.name, order, self._now(), asked, incoming.length)
            spool_entry.write_asked(incoming.folder, entry)
            incoming.folder.rename(self._folder(entry))
            sync_folder(self.path)
            self._last_order = order
            self._entries[entry.id] = entry
            self.counts["accepted"] += 1
            return entry

    def _end(self, incoming: Incoming) -> None:
        with self._lock:
            self._coming.remove(incoming)

    # -- what becomes of it -----------------------------------------------------------------

    def entry(self, name: str) -> SpoolEntry | None:
        return self._entries.get(name)

    def waiting(self) -> list[SpoolEntry]:
        """In the order of acceptance. Waits for no disk: the event loop asks, too."""
        return [e for e in list(self._entries.values()) if e.state is SpoolState.WAITING]

    def body(self, entry: SpoolEntry) -> Path:
        return self._folder(entry) / spool_entry.BODY

    def answer(self, entry: SpoolEntry, answer: LateAnswer) -> None:
        """Store it, once: a second one changes nothing."""
        with self._lock:
            known = self._entries.get(entry.id)  # None where its sender has deleted it meanwhile
            if known is None or known.state is not SpoolState.WAITING:
                return
            now = self._now()
            spool_entry.write_answer(self._folder(entry), answer, now)
            self._put(replace(known, answered_at=now, answer_bytes=len(answer.body)))
            self.counts["given_up" if known.given_up else "answered"] += 1
        self._make_room()

    def answer_of(self, entry: SpoolEntry) -> LateAnswer:
        return spool_entry.read_answer(self._folder(entry))

    def failed(self, entry: SpoolEntry) -> SpoolEntry:
        """One more node failed on it."""
        entry = replace(entry, failures=entry.failures + 1)
        with self._lock:
            if entry.id in self._entries:
                spool_entry.write_failures(self._folder(entry), entry.failures)
                self._put(entry)
        return entry

    def delete(self, entry: SpoolEntry) -> None:
        """Its sender wants neither recording nor answer any more. Raises OSError: both may
        stay on the disk."""
        with self._lock:
            if (known := self._entries.get(entry.id)) is None:
                return
            self._forget(known)
            self.counts["withdrawn"] += known.state is SpoolState.WAITING

    def sweep(self) -> int:
        """Delete what is too old; how many that waited are given up by it."""
        now, before = self._now(), self.counts["expired"]
        for entry in list(self._entries.values()):
            if now < entry.expires_at(self.limits):
                continue
            try:
                self._expire(entry, now)
            except OSError as error:  # of this one only; %r has no path, a secret here
                log.error("spool.not_swept order=%s reason=%r", entry.order, error)
        self._make_room()
        self._damaged.sweep(now, self.limits.max_age_seconds)
        return self.counts["expired"] - before

    def _expire(self, entry: SpoolEntry, now: datetime.datetime) -> None:
        with self._lock:
            if entry.id not in self._entries:
                return
            if entry.state is SpoolState.EXPIRED:
                self._forget(entry)
                return
            spool_entry.write_expired(self._folder(entry), now)
            self._put(replace(entry, expired_at=now))
            self.counts["expired"] += entry.state is SpoolState.WAITING

    def _make_room(self) -> None:
        """Of what is finished, the oldest goes where all of it is too much."""
        with self._lock:
            for entry in surplus(self._entries.values(), self.limits):
                try:
                    self._forget(entry)
                except OSError as error:  # of this one only; %r has no path, a secret here
                    log.error("spool.not_swept order=%s reason=%r", entry.order, error)
                    continue
                if entry.state is SpoolState.ANSWERED:
                    log.warning("spool.answer_dropped order=%s", entry.order)
                    self.counts["dropped"] += 1

    def _forget(self, entry: SpoolEntry) -> None:
        folder = self._folder(entry)
        try:
            spool_entry.delete(folder)
        finally:
            if not folder.exists():  # also where the disk does not say that this will last
                del self._entries[entry.id]

    def summary(self) -> dict[str, Any]:
        """Of this moment, and counts since this controller began."""
        waiting = self.waiting()
        oldest = (self._now() - waiting[0].accepted_at).total_seconds() if waiting else None
        counted = {name: self.counts[name] for name in _COUNTED}
        return {
            "when": self.limits.when.value,
            "waiting": len(waiting),
            "waiting_bytes": sum(entry.size for entry in waiting),
            "oldest_seconds": round(oldest, 1) if oldest is not None else None,
        } | counted

    def _put(self, entry: SpoolEntry) -> None:
        with self._lock:
            self._entries[entry.id] = entry
        spool_entry.tidy(self._folder(entry), entry)

    def _folder(self, entry: SpoolEntry) -> Path:
        return self.path / spool_entry.folder_name(entry)


_COUNTED: Final = (
    "accepted", "answered", "given_up", "expired", "withdrawn", "refused", "dropped"
)  # fmt: skip
