"""The database of the state: how it is opened, brought up to date, and what it fails with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command as alembic_command
from alembic.config import Config as AlembicConfig
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DatabaseError, OperationalError

from controller.core.errors import StoreUnavailable


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
    """Of what the database itself fails with, a full disk above all; never a mistake of ours."""
    error = context.sqlalchemy_exception
    if isinstance(error, OperationalError) or type(error) is DatabaseError:
        raise StoreUnavailable(
            f"the state cannot be read or written ({context.original_exception}), and what is not "
            f"written is not done. Make room on the disk of the state folder"
        )


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic_command.upgrade(config, "head")
