"""The database of the state: how it is opened, brought up to date, and what it fails with."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from alembic import command as alembic_command
from alembic.config import Config as AlembicConfig
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, ExceptionContext

from controller.core.errors import StoreUnavailable

_MAKE_ROOM: Final = "Make room on the disk of the state folder"
_LOOK: Final = "Look at the state folder: its owner, its mount, and whether its disk is well"
# By primary result code (https://www.sqlite.org/rescode.html).
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: _MAKE_ROOM,
    sqlite3.SQLITE_IOERR: _MAKE_ROOM,  # also the shared memory that does not fit
    sqlite3.SQLITE_BUSY: "Another program holds its database: end that one",
    sqlite3.SQLITE_LOCKED: "Another program holds its database: end that one",
    sqlite3.SQLITE_READONLY: _LOOK,
    sqlite3.SQLITE_CANTOPEN: _LOOK,
    sqlite3.SQLITE_PERM: _LOOK,
    sqlite3.SQLITE_CORRUPT: _LOOK,
    sqlite3.SQLITE_NOTADB: _LOOK,
}


def open_database(url: str) -> Engine:
    """With all tables of this program. Whatever uses it raises StoreUnavailable where the database
    cannot be read or written, as this does."""
    engine = create_engine(url)
    event.listen(engine, "handle_error", _translate)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
    _migrate(engine)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    # WAL: readers never block the loop's writes. FULL: an accepted command survives a power cut.
    # secure_delete: what was forgotten is overwritten.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "secure_delete=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _translate(context: ExceptionContext) -> None:
    """Of what the machine makes it fail with; a mistake of ours is none of these."""
    number = getattr(context.original_exception, "sqlite_errorcode", None)
    remedy = _REMEDIES.get(number & 0xFF) if number is not None else None  # extended: the low byte
    if remedy is not None:
        raise StoreUnavailable(
            f"the state cannot be read or written ({context.original_exception}), and what is not "
            f"written is not done. {remedy}"
        )


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic_command.upgrade(config, "head")
