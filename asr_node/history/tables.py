"""The tables, and how an older database comes to have them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)


class UtcTime(TypeDecorator[datetime]):
    """Aware in Python, UTC in the database: SQLite keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        aware: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return aware.astimezone(UTC)


METADATA: Final = MetaData()

HISTORY: Final = Table(
    "history",
    METADATA,
    # INTEGER, which has 64 bits there, is SQLite's own row number and needs no index.
    Column(
        "cursor",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("id", String, nullable=False, unique=True),
    Column("request_id", String, nullable=False, index=True),
    Column("node", String, nullable=False),
    Column("created_time", UtcTime, nullable=False, index=True),
    Column("filename", String, nullable=False),
    Column("version", String, nullable=False),
    Column("digest", String),
    Column("device", String, nullable=False),
    Column("priority", String, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("hotwords", JSON, nullable=False),
    Column("language", String),
    Column("duration_seconds", Float),
    Column("processing_seconds", Float, nullable=False),
    Column("first_partial_seconds", Float),
    Column("raw_text", String, nullable=False),
    Column("itn_text", String, nullable=False),
    Column("status", String, nullable=False),
    Column("error", String),
    Index("history_node_cursor", "node", "cursor"),
)

BATCHES: Final = Table(
    "batches",
    METADATA,
    Column("id", String, primary_key=True),
    Column("node", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("created_time", UtcTime, nullable=False),
    Column("finished_time", UtcTime),
    Column("cancelled", Integer, nullable=False),
    Column("language", String, nullable=False),
    Column("itn", Integer, nullable=False),
    Column("hotwords", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    UniqueConstraint("node", "request_id", name="batches_request"),
)

BATCH_FILES: Final = Table(
    "batch_files",
    METADATA,
    Column("batch_id", String, primary_key=True),
    Column("file_index", Integer, primary_key=True),
    Column("filename", String, nullable=False),
    Column("stored_name", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("history_id", String, index=True),
    Column("history_cursor", BigInteger),
    Column("text", String),
    Column("error", String),
)

LAST_CURSOR: Final = select(func.max(HISTORY.c.cursor))

SCHEMA_VERSION: Final = Table("schema_version", METADATA, Column("version", Integer))


class NewerSchema(Exception):
    """A newer asr-node has written this database; its rows are left as they are."""


def _first(connection: Connection) -> None:
    METADATA.create_all(connection, [HISTORY, BATCHES, BATCH_FILES])


def _first_partial(connection: Connection) -> None:
    """A new database has the column from the beginning."""
    known = {column["name"] for column in inspect(connection).get_columns(HISTORY.name)}
    if "first_partial_seconds" not in known:
        kind = Float().compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE history ADD COLUMN first_partial_seconds {kind}"))


# Each brings a database from the version of its index to the next; never edit one that was
# released, add another.
MIGRATIONS: Final[tuple[Callable[[Connection], None], ...]] = (_first, _first_partial)


def migrate(connection: Connection) -> None:
    """In the caller's transaction: all of it, or nothing. Raises NewerSchema."""
    if connection.dialect.name == "postgresql":
        lock_writers(connection)  # nodes that start together
    if not inspect(connection).has_table(SCHEMA_VERSION.name):
        SCHEMA_VERSION.create(connection)
        connection.execute(insert(SCHEMA_VERSION).values(version=0))
    version = connection.execute(select(SCHEMA_VERSION.c.version)).scalar_one()
    if version > len(MIGRATIONS):
        raise NewerSchema(
            f"a newer asr-node wrote this database (schema {version}, this one knows "
            f"{len(MIGRATIONS)})"
        )
    for step in MIGRATIONS[version:]:
        step(connection)
    if version < len(MIGRATIONS):
        connection.execute(update(SCHEMA_VERSION).values(version=len(MIGRATIONS)))


def lock_writers(connection: Connection) -> None:
    """Until the transaction ends. Without the lock two nodes on one PostgreSQL could commit in
    another order than that of their cursors: a reader would see 8 first, and never 7."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7310574932187431)"))


def next_cursor(connection: Connection) -> int:
    """The milliseconds since 1970, or one more than the last where that is greater.

    So cursors go on rising where a damaged database was set aside, a backup was put back or
    the newest rows were removed: who reads on from an old cursor misses nothing. The caller is
    the only writer (lock_writers)."""
    last = connection.execute(LAST_CURSOR).scalar() or 0
    return max(int(last) + 1, time.time_ns() // 1_000_000)
