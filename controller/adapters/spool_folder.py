"""The spool: a folder of kept requests, each in a folder of its own (spool_entry)."""

from __future__ import annotations

import collections
import datetime
import hashlib
import hmac
import logging
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from controller.adapters import spool_entry
from controller.adapters.files import sync_folder, write_atomically
from controller.adapters.spool_incoming import Incoming
from controller.core.errors import SpoolFull
from controller.core.spool import Asked, LateAnswer, SpoolEntry, SpoolLimits, SpoolState

log = logging.getLogger(__name__)
_SALT: Final = "key_salt"
_COMING: Final = "coming-"
_DAMAGED: Final = "damaged-"
_NAME: Final = re.compile(r"\d{12}-[A-Za-z0-9_-]{43}")


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
        self._damaged: list[Path] = []  # of entries that cannot be read
        self._coming: list[int] = []  # bytes of requests that are being received
        self._last_order = 0
        self._lock = threading.RLock()

    def open(self) -> None:
        """Heal what a kill has left, and know what is there. A disk that does not let us keeps
        nothing from beginning but the spool."""
        try:
            self._open()
        except OSError as error:
            log.error("spool.not_opened reason=%r", error)

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_folder(self.path.parent)
        for folder in sorted(self.path.iterdir()):
            if folder.name.startswith(_COMING):
                shutil.rmtree(folder, ignore_errors=True)  # nobody was told that it was accepted
            elif folder.name.startswith(_DAMAGED):
                self._damaged.append(folder)
            elif _NAME.fullmatch(folder.name):
                self._last_order = int(folder.name[:12])
                self._take(folder)

    def _take(self, folder: Path) -> None:
        try:
            entry = spool_entry.read_entry(folder)
            spool_entry.tidy(folder, entry)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            log.error("spool.entry_damaged order=%s reason=%r", self._last_order, error)
            self._set_aside(folder)
        except OSError as error:  # it may be whole: the next start looks again
            log.error("spool.entry_unreadable order=%s reason=%r", self._last_order, error)
        else:
            self._entries[entry.id] = entry

    def _set_aside(self, folder: Path) -> None:
        """For whoever wants to look at it; when, says the folder itself."""
        aside = folder.with_name(_DAMAGED + folder.name)
        try:
            at = self._now().timestamp()
            os.utime(folder, (at, at))
            self._damaged.append(folder.rename(aside))
        except OSError as error:
            log.error("spool.not_set_aside order=%s reason=%r", self._last_order, error)

    def hash_of(self, key: str) -> str:
        """What is kept of an API key: it tells who asked, and is no use to a thief."""
        path = self.path / _SALT
        with self._lock:
            if not path.exists():
                write_atomically(path, secrets.token_hex(32))
                sync_folder(self.path)
        return hmac.new(path.read_bytes(), key.encode(), hashlib.sha256).hexdigest()

    # -- what comes in ----------------------------------------------------------------------

    def receive(self, asked: Asked, length: int) -> Incoming:
        """Begin to keep a request with a body of `length` bytes. Raises SpoolFull."""
        with self._lock:
            waiting = len(self.waiting()) + len(self._coming)
            held = sum(entry.size for entry in self._entries.values() if entry.has_body)
            problem = self.limits.no_room_for(length, waiting, held + sum(self._coming))
            if problem is not None:
                raise SpoolFull(problem)
            self._coming.append(length)
        name = secrets.token_urlsafe(32)
        folder = self.path / f"{_COMING}{name}"
        return Incoming(name, folder, asked, length, self._accept, self._end)

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
            self._coming.remove(incoming.length)

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
            if self._entries[entry.id].state is not SpoolState.WAITING:
                return
        now = self._now()
        spool_entry.write_answer(self._folder(entry), answer, now)
        self._put(replace(self._entries[entry.id], answered_at=now))
        self.counts["given_up" if self._entries[entry.id].given_up else "answered"] += 1

    def answer_of(self, entry: SpoolEntry) -> LateAnswer:
        return spool_entry.read_answer(self._folder(entry))

    def failed(self, entry: SpoolEntry) -> SpoolEntry:
        """One more node failed on it."""
        entry = replace(entry, failures=entry.failures + 1)
        spool_entry.write_failures(self._folder(entry), entry.failures)
        self._put(entry)
        return entry

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
        self._damaged = [folder for folder in self._damaged if not self._forget(folder, now)]
        return self.counts["expired"] - before

    def _forget(self, damaged: Path, now: datetime.datetime) -> bool:
        """Whether it is gone, being too old."""
        try:
            if now.timestamp() < damaged.stat().st_mtime + self.limits.max_age_seconds:
                return False
        except OSError:  # somebody else deleted it
            return True
        shutil.rmtree(damaged, ignore_errors=True)
        return True  # or the next start tries again

    def _expire(self, entry: SpoolEntry, now: datetime.datetime) -> None:
        if entry.state is SpoolState.EXPIRED:
            with self._lock:
                del self._entries[entry.id]
            shutil.rmtree(self._folder(entry))
            return
        spool_entry.write_expired(self._folder(entry), now)
        self._put(replace(entry, expired_at=now))
        self.counts["expired"] += entry.state is SpoolState.WAITING

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


_COUNTED: Final = ("accepted", "answered", "given_up", "expired", "refused")
