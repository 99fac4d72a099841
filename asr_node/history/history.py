"""The history of one node: rows in, rows out, in the order of their cursors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Select, delete, exc, func, insert, select

from asr_node.errors import RequestRefused
from asr_node.history.database import Database, open_database, why
from asr_node.history.entry import Entry, now
from asr_node.history.tables import HISTORY, next_cursor
from asr_node.history.writer import Writer
from asr_node.log import event
from asr_node.settings import Settings

T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0  # an answer waits so long for its row, then goes without
CLOSE_SECONDS: Final = 5.0
READERS: Final = 4
INSERT: Final = insert(HISTORY)  # built once: building costs more than executing
REMOVED_AT_ONCE: Final = 1_000  # a long delete would hold up the rows of answers

Row = dict[str, Any]
Also = Callable[[Connection, Entry, int], None]


class HistoryAway(RequestRefused):
    """503: there is no history to read from, or write to, now."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The history cannot be reached: {reason}. Recognition goes on. Retry later.",
            status=503,
            code="history_degraded",
            headers={"Retry-After": "5"},
        )


class History:
    """Lives on the event loop; one thread writes, a few read.

    Partial service beats none: where rows cannot be written, they wait in memory, up to a
    limit, and recognition goes on."""

    def __init__(self, settings: Settings) -> None:
        self.node = settings.name
        self._writer = Writer(partial(open_database, settings.history_url, settings.data_dir))
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="history-read")

    @property
    def degraded(self) -> str | None:
        """In words; None where all is well. Also while a damaged database lies set aside: it
        says so until somebody has moved the file away."""
        if self._writer.degraded is not None:
            return f"history: {self._writer.degraded}"
        database = self._writer.database
        for file in database.set_aside if database is not None else ():
            if file.exists():
                return f"history: a damaged one was set aside as {file.name}, a new one has begun"
        return None

    @property
    def writable(self) -> bool:
        return self._writer.degraded is None

    @property
    def waiting(self) -> int:
        """Writes that are not committed yet."""
        return self._writer.waiting

    @property
    def lost(self) -> int:
        """Rows dropped since the start, because too many waited for a database."""
        return self._writer.lost

    @property
    def database(self) -> Database:
        """Raises HistoryAway."""
        database = self._writer.database
        if database is None:
            raise HistoryAway(self._writer.degraded or "it is closed")
        return database

    def open(self) -> None:
        """Returns at once; rows that come before the database is open wait for it."""
        self._writer.start()

    def close(self) -> None:
        self._writer.close(CLOSE_SECONDS)
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def record(self, entry: Entry) -> None:
        """Returns when the row is safe, or when waiting for it would hold up the answer."""
        was_degraded = not self.writable
        future = self._writer.offer(partial(_insert, entry))
        if future is None or was_degraded:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            self._writer.slow(f"a row takes longer than {PATIENCE_SECONDS:g} seconds")
        except Exception as error:
            event("history.row_refused", level=logging.ERROR, id=entry.id, reason=why(error))

    async def record_with(self, entry: Entry, also: Also) -> None:
        """The row, and in the same transaction whatever `also` does with it and its cursor.

        Waits as long as it takes."""

        def both(connection: Connection) -> None:
            also(connection, entry, _insert(entry, connection))

        await self.write(both)

    async def write(self, work: Callable[[Connection], T], *, makes_room: bool = False) -> T:
        """Raises what `work` raises. It may be run again after a failure. What `makes_room` does
        not wait behind rows that a full disk takes no more."""
        submitted = self._writer.submit(work, makes_room=makes_room)
        return await asyncio.shield(asyncio.wrap_future(submitted))

    def write_soon(self, work: Callable[[Connection], object]) -> None:
        """Nobody waits for it."""
        self._writer.offer(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """In a thread. Raises HistoryAway."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        self._writer.tried.wait(PATIENCE_SECONDS)
        with self._translated(), self.database.engine.connect() as connection:
            return work(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            raise HistoryAway(why(error)) from error

    async def page(self, after: int, limit: int) -> list[Row]:
        """The rows that follow the cursor `after`, oldest first."""
        query = self._own().where(HISTORY.c.cursor > after).order_by(HISTORY.c.cursor).limit(limit)
        return await self.read(partial(_rows, query))

    async def last_cursor(self) -> int:
        query = select(func.max(HISTORY.c.cursor)).where(HISTORY.c.node == self.node)
        return await self.read(lambda connection: connection.execute(query).scalar()) or 0

    async def first_time(self) -> datetime | None:
        """When the oldest row was made."""
        query = select(HISTORY.c.created_time).order_by(HISTORY.c.created_time).limit(1)
        return await self.read(lambda connection: connection.execute(query).scalar())

    async def find(self, entry_id: str) -> Row | None:
        query = self._own().where(HISTORY.c.id == entry_id)
        return next(iter(await self.read(partial(_rows, query))), None)

    async def forget(self, days: int) -> int:
        """Remove rows older than that; how many were."""
        removed = 0
        work = partial(_forget, self.node, now() - timedelta(days=days))
        while count := await self.write(work, makes_room=True):
            removed += count
        return removed

    def _own(self) -> Select[Any]:
        """Several nodes may write into one PostgreSQL; each hands on its own rows."""
        return select(HISTORY).where(HISTORY.c.node == self.node)


def _insert(entry: Entry, connection: Connection) -> int:
    cursor = next_cursor(connection)
    connection.execute(INSERT, {"cursor": cursor, **entry.columns()})
    return cursor


def _rows(query: Select[Any], connection: Connection) -> list[Row]:
    return [_row(dict(row)) for row in connection.execute(query).mappings()]


def _row(row: Row) -> Row:
    return row | {"created_time": in_words(row["created_time"])}


def in_words(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _forget(node: str, before: datetime, connection: Connection) -> int:
    old = (
        select(HISTORY.c.cursor)
        .where(HISTORY.c.node == node, HISTORY.c.created_time < before)
        .limit(REMOVED_AT_ONCE)
    )
    return connection.execute(delete(HISTORY).where(HISTORY.c.cursor.in_(old))).rowcount
