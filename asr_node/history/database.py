"""The database behind the history: a SQLite file in the data folder, or PostgreSQL."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, exc, make_url, text

from asr_node import log
from asr_node.errors import StartRefused
from asr_node.history.tables import migrate

FILE: Final = "history.sqlite3"
DAMAGED: Final = ".damaged-"
BUSY_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5
STATEMENT_MILLISECONDS: Final = 10_000


class Damaged(Exception):
    """The file is no database, or is torn."""


@dataclass(frozen=True, slots=True)
class Database:
    engine: Engine
    file: Path | None  # of SQLite
    set_aside: tuple[Path, ...] = ()  # damaged ones that still lie there

    def close(self) -> None:
        self.engine.dispose()

    def empty_journal(self) -> None:
        """Where SQLite's disk is full, its journal (up to 4 MB) is the room in which rows can be
        removed, as soon as what it holds is in the file. Raises nothing."""
        if self.file is None:
            return
        try:
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        except (exc.SQLAlchemyError, sqlite3.Error):
            return  # the next attempt says why


def check_url(url: str | None) -> None:
    """Raises StartRefused, without the URL: it may hold a password."""
    if url is None:
        return
    try:
        driver = make_url(url).drivername
    except exc.ArgumentError:
        driver = "unreadable"
    if driver != "postgresql+psycopg":
        raise StartRefused(
            "--history-url is not of the form postgresql+psycopg://USER:PASSWORD@HOST/DATABASE; "
            "nothing was started. Leave it out to keep the history in the data folder."
        )
    if find_spec("psycopg") is None:
        raise StartRefused(
            "--history-url needs psycopg; nothing was started. "
            'Mend it with: pip install "psycopg[binary]"'
        )


def open_database(url: str | None, data_dir: Path) -> Database:
    """Ready to be written. Slow: it checks every page of a SQLite file.

    A damaged SQLite file is set aside and a new one begun. Raises SQLAlchemyError, OSError or
    NewerSchema where there is no database to write to now."""
    if url is not None:
        return Database(_migrated(_postgresql(url)), None)
    data_dir.mkdir(parents=True, exist_ok=True)
    file = data_dir / FILE
    try:
        _check(file)
    except Damaged as damaged:
        _set_aside(file, str(damaged))
    file.touch(mode=0o600)  # transcripts are nobody else's; the journal takes its mode
    engine = _migrated(_sqlite(file))
    aside = tuple(path for path in sorted(data_dir.glob(f"{FILE}{DAMAGED}*")))
    return Database(engine, file, aside)


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that the file itself is wrong, and not its surroundings."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def why(error: BaseException) -> str:
    """One line, without the statement and its values: they hold transcripts."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    first = str(cause).strip().splitlines()
    return first[0] if first else type(cause).__name__


def _migrated(engine: Engine) -> Engine:
    try:
        with engine.begin() as connection:
            migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _postgresql(url: str) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={STATEMENT_MILLISECONDS}",
        },
    )


def _sqlite(file: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{file}", hide_parameters=True, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", lambda connection: connection.execute(text("BEGIN")))
    return engine


def _configure(connection: Any, _: object) -> None:
    """The driver's own transactions leave out CREATE TABLE: we begin them ourselves."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a row that was answered survives a power cut


def _check(file: Path) -> None:
    """Raises Damaged, or sqlite3.OperationalError where it cannot be read now."""
    if not file.exists():
        return
    try:
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise
    if found != "ok":
        raise Damaged(str(found))


def _set_aside(file: Path, reason: str) -> None:
    """The journal goes along: it may hold what the file lacks."""
    suffix = f"{DAMAGED}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        part = file.with_name(name)
        if part.exists():
            part.rename(part.with_name(name + suffix))
    log.event(
        "history.set_aside",
        level=logging.ERROR,
        file=file.name + suffix,
        reason=reason,
        now="a new history has begun; recognition goes on",
    )
