"""What was counted of pairs: in their rows, which do not stay, and added up by sticky key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from controller.adapters.store import tables
from controller.adapters.store.upsert import upsert
from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Counted

_pairs = tables.shadow_pairs.c


def new(
    connection: Connection, rollout_id: str, request_ids: Sequence[str]
) -> dict[str, str | None]:
    """Those that were not compared before, with their sticky keys."""
    query = select(_pairs.request_id, _pairs.key_hash).where(
        _pairs.rollout_id == rollout_id,
        _pairs.request_id.in_(request_ids),
        _pairs.compared.is_(False),
    )
    return {row.request_id: row.key_hash for row in connection.execute(query)}


def mark(connection: Connection, rollout_id: str, found: Mapping[str, Counted | None]) -> None:
    """As compared, with what was counted."""
    if not found:
        return
    this = (_pairs.rollout_id == rollout_id) & (_pairs.request_id == bindparam("request"))
    rows = [
        {
            "request": request_id,
            "compared": True,
            "slices": " ".join(counted.slices) if counted else None,
            "units": counted.units if counted else None,
            "written": counted.written if counted else None,
            "number_units": counted.number_units if counted else None,
            "numbers": counted.numbers if counted else None,
        }
        for request_id, counted in found.items()
    ]
    connection.execute(update(tables.shadow_pairs).where(this), rows)


_SUMS: Final = (
    "pairs", "units", "written", "differ_written", "number_units", "numbers", "differ_numbers",
)  # fmt: skip


def add_up(
    connection: Connection, rollout_id: str, found: Iterable[tuple[str, Counted | None]]
) -> None:
    """Counts of pairs, each with its sticky key, to the sums."""
    rows = [
        {
            "rollout_id": rollout_id,
            "key_hash": key,
            "slices": " ".join(counted.slices),
            "pairs": 1,
            "units": counted.units,
            "written": counted.written,
            "differ_written": int(counted.written > 0),
            "number_units": counted.number_units,
            "numbers": counted.numbers or 0,
            "differ_numbers": int(bool(counted.numbers)),
        }
        for key, counted in found
        if counted is not None
    ]
    table = tables.shadow_tallies
    upsert(connection, table, rows, lambda new: {name: table.c[name] + new[name] for name in _SUMS})


def tally(row: Any) -> Tally:
    return Tally(
        key=row.key_hash,
        slices=tuple(row.slices.split()),
        **{name: row._mapping[name] for name in _SUMS},
    )
