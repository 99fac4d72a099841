"""Insert, or change what is there: both databases can, each in a dialect of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    change: Callable[[Any], Mapping[str, Any]],
) -> None:
    """Add the rows, all in one statement; where one with that primary key is there, `change`
    tells what becomes of it from the row that was to be added."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    add = dialect.insert(table)
    one = [*table.primary_key.columns]
    query = add.on_conflict_do_update(index_elements=one, set_=change(add.excluded))
    connection.execute(query, [*rows])
