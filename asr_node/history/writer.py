"""The one thread that writes, many jobs to a commit."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, exc

from asr_node.history.database import Database, is_damage, why
from asr_node.history.tables import lock_writers
from asr_node.log import event

T = TypeVar("T")

GROUP: Final = 256  # jobs to a commit
MAX_WAITING: Final = 10_000  # rows held in memory while the disk takes none
RETRY_SECONDS: Final = 2.0


def _uncancellable() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Connection], Any]
    makes_room: bool = False
    ended: Future[Any] = field(default_factory=_uncancellable)  # committed, or wrong itself
    tried: Future[None] = field(default_factory=_uncancellable)  # as above, or put off

    def end(self, result: Any = None, error: Exception | None = None) -> None:
        if error is None:
            self.ended.set_result(result)
        else:
            self.ended.set_exception(error)
        self.let_go(error)

    def let_go(self, error: Exception | None = None) -> None:
        if self.tried.done():
            return
        if error is None:
            self.tried.set_result(None)
        else:
            self.tried.set_exception(error)


class Writer:
    """Jobs run in order. Those that came while a commit was on its way share the next one.

    While nothing can be written, jobs wait in memory and `degraded` says why; the first write
    that succeeds takes them all. A job must do no harm when it is run again: a group that
    fails is rolled back and tried anew.

    Jobs that remove rows do not wait behind those that a full disk takes no more: each attempt
    is at one of them, or at what waits, in turn."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self.degraded: str | None = None
        self.database: Database | None = None
        self.lost = 0  # jobs dropped since the start
        self.tried = threading.Event()  # to open the database, whatever came of it
        self._open = open_database
        self._jobs: deque[_Job] = deque()
        self._room: deque[_Job] = deque()  # those that remove rows
        self._room_next = True  # whose turn it is
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    @property
    def waiting(self) -> int:
        return len(self._jobs) + len(self._room)

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Callable[[Connection], T], *, makes_room: bool = False) -> Future[T]:
        """Ends once `work` is committed, with its result or its error."""
        return self._add(_Job(work, makes_room)).ended

    def offer(self, work: Callable[[Connection], object]) -> Future[None] | None:
        """Ends once `work` is committed, or put off, or with its own error.

        None where too many wait already: the job is dropped."""
        with self._changed:
            full = len(self._jobs) >= MAX_WAITING or self._closing
            if full:
                self.lost += 1
        if full:
            if self.lost == 1:
                event("history.rows_lost", level=logging.ERROR, reason=self.degraded)
            return None
        return self._add(_Job(work)).tried

    def slow(self, reason: str) -> None:
        """Degraded until the next commit."""
        self._mark(reason)

    def close(self, seconds: float) -> None:
        """Write what waits, or give up where that fails or takes longer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._jobs:
            event("history.rows_lost", level=logging.ERROR, rows=len(self._jobs))

    def _add(self, job: _Job) -> _Job:
        with self._changed:
            self._line_of(job).append(job)
            self._changed.notify()
        return job

    def _line_of(self, job: _Job) -> deque[_Job]:
        return self._room if job.makes_room else self._jobs

    def _run(self) -> None:
        while self._work():
            pass
        if self.database is not None:
            self.database.close()

    def _work(self) -> bool:
        """One attempt at what waits; False where it was the last."""
        try:
            self._opened()
            group = self._next_group()
            if not group:
                return False
            self._commit(group)
        except Exception as error:  # of the database and not of a job: worth another try
            if is_damage(error):
                self._reopen_later()
            return self._put_off(error)
        if not (group[0].makes_room and self._jobs):  # else once they are written
            self._recovered()
        return True

    def _opened(self) -> Database:
        if self.database is None:
            self.database = self._open()
            self.tried.set()
            if not self._jobs:  # else once they are written
                self._recovered()
        return self.database

    def _reopen_later(self) -> None:
        """The check at the next opening sets the damaged file aside."""
        if self.database is not None:
            self.database.close()
            self.database = None

    def _next_group(self) -> list[_Job]:
        """Stays in line until it is committed. Empty when closing with nothing left."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._room or self._closing)
            if self._room and (self._room_next or not self._jobs):
                return [self._room[0]]
            return [self._jobs[index] for index in range(min(GROUP, len(self._jobs)))]

    def _commit(self, group: list[_Job]) -> None:
        """All together; one by one where a job itself is wrong, so that it fails alone."""
        try:
            results = self._transaction(group)
        except Exception as error:
            if not _jobs_own(error):
                raise
            if len(group) > 1:
                for job in group:
                    self._commit([job])
                return
            self._finish(group)
            group[0].end(error=error)
            return
        self._finish(group)
        for job, result in zip(group, results, strict=True):
            job.end(result)

    def _transaction(self, group: list[_Job]) -> list[Any]:
        with self._opened().engine.begin() as connection:
            lock_writers(connection)
            return [job.work(connection) for job in group]

    def _finish(self, group: list[_Job]) -> None:
        with self._changed:
            for job in group:
                self._line_of(job).popleft()

    def _put_off(self, error: Exception) -> bool:
        self._mark(why(error))
        self.tried.set()
        self._room_next = not self._room_next
        if self.database is not None:
            self.database.empty_journal()
        with self._changed:
            for job in self._jobs:
                job.let_go()
            self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
            return not self._closing

    def _mark(self, reason: str) -> None:
        if self.degraded != reason:
            self.degraded = reason
            event("history.degraded", level=logging.ERROR, reason=reason)

    def _recovered(self) -> None:
        if self.degraded is not None:
            was, self.degraded = self.degraded, None
            event("history.writing", was=was, waiting=len(self._jobs), lost=self.lost)


def _jobs_own(error: Exception) -> bool:
    """Values that no column takes; everything else that a database says is its own trouble: a
    full disk, a server that is away, a table that somebody has changed."""
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return True
    return not isinstance(error, exc.DBAPIError | OSError)
