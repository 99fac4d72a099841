"""What was heard of copied requests: halves as histories bring them, then pairs, then counts.

Texts that agree are not kept, nor those of pairs beyond the worst: they are what users said."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, insert, null, select, update
from sqlalchemy.engine import Engine

from controller.adapters.store import tables
from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Counted, Disagreement, Heard

KEPT: Final = 500  # pairs with their texts, of a rollout
_WAITS: Final = datetime.timedelta(hours=1)  # for its other half
_CHUNK: Final = 500  # SQLite takes 32,766 parameters
_pairs = tables.shadow_pairs.c


class ShadowStore:
    """Implements the ShadowStore port. Each method is one transaction, and may be repeated."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cursors(self, rollout_id: str) -> dict[str, int]:
        """How far each node's history was read."""
        table = tables.history_cursors.c
        query = select(table.node, table.position).where(table.rollout_id == rollout_id)
        with self._engine.connect() as connection:
            return {row.node: row.position for row in connection.execute(query)}

    def take(self, rollout_id: str, node: str, position: int, heard: Sequence[Heard]) -> None:
        """Rows of a node's history, and how far it was read with them. A second row of a request
        changes nothing, unless the first failed."""
        with self._engine.begin() as connection:
            for some in _chunks([*heard]):
                _add_halves(connection, rollout_id, some)
            _set_cursor(connection, rollout_id, node, position)

    def take_keys(self, rollout_id: str, keys: Mapping[str, str]) -> None:
        """The sticky keys (hashes) of requests, by their ids."""
        with self._engine.begin() as connection:
            for some in _chunks([*keys]):
                known = _known(connection, rollout_id, some)
                for request_id in some:
                    values = {"key_hash": keys[request_id]}
                    _put(connection, rollout_id, request_id, values, request_id in known)

    def uncompared(self, rollout_id: str, limit: int) -> list[tuple[Heard, Heard]]:
        """Pairs of which both halves are there, stable's first, and the sticky key: one user's
        requests are not to count as many users."""
        query = (
            select(_pairs.stable, _pairs.canary)
            .where(_pairs.rollout_id == rollout_id, _pairs.compared.is_(False))
            .where(_pairs.stable.is_not(None), _pairs.canary.is_not(None))
            .where(_pairs.key_hash.is_not(None))
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [(Heard(**row.stable), Heard(**row.canary)) for row in connection.execute(query)]

    def compared(self, rollout_id: str, found: Mapping[str, Counted | None]) -> None:
        """What was counted, by request; None: not to be counted, and forgotten."""
        with self._engine.begin() as connection:
            for request_id, counted in found.items():
                _put(connection, rollout_id, request_id, _counted_row(counted), True)
            _forget_least(connection, rollout_id)

    def tallies(self, rollout_id: str) -> list[Tally]:
        """All pairs that were counted, by sticky key."""
        query = (
            select(
                _pairs.key_hash.label("key"), _pairs.slices, func.count().label("pairs"),
                func.sum(_pairs.units).label("units"), func.sum(_pairs.written).label("written"),
                _differ(_pairs.written).label("differ_written"),
                func.sum(_pairs.number_units).label("number_units"),
                func.sum(_pairs.numbers).label("numbers"),
                _differ(_pairs.numbers).label("differ_numbers"),
            )
            .where(_pairs.rollout_id == rollout_id, _pairs.units.is_not(None))
            .group_by(_pairs.key_hash, _pairs.slices)
        )  # fmt: skip
        with self._engine.connect() as connection:
            return [_tally(row) for row in connection.execute(query)]

    def disagreements(self, rollout_id: str, limit: int = KEPT) -> list[Disagreement]:
        """The pairs that differ most, most edits first, with their texts."""
        query = (
            select(tables.shadow_pairs)
            .where(_pairs.rollout_id == rollout_id, _pairs.units.is_not(None))
            .where(_pairs.stable.is_not(None), _pairs.canary.is_not(None))
            .order_by(_pairs.written.desc(), _pairs.request_id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [_disagreement(row) for row in connection.execute(query)]

    def forget_texts(self, rollout_id: str, request_ids: Sequence[str]) -> None:
        """Of these pairs; what was counted stays."""
        with self._engine.begin() as connection:
            _forget_texts(connection, rollout_id, request_ids)

    def forget_halves(self, rollout_id: str | None = None) -> None:
        """Of this rollout all that never became pairs (it has ended); with none, those of any
        that waited for too long."""
        if rollout_id is None:
            which = _pairs.at < (_now() - _WAITS).isoformat()
        else:
            which = _pairs.rollout_id == rollout_id
        with self._engine.begin() as connection:
            halves = delete(tables.shadow_pairs).where(_pairs.compared.is_(False), which)
            connection.execute(halves)


def _forget_texts(connection: Connection, rollout_id: str, request_ids: Sequence[str]) -> None:
    for some in _chunks([*request_ids]):
        these = (_pairs.rollout_id == rollout_id) & _pairs.request_id.in_(some)
        connection.execute(update(tables.shadow_pairs).where(these).values(**_NO_TEXTS))


def _add_halves(connection: Connection, rollout_id: str, heard: Sequence[Heard]) -> None:
    known = _known(connection, rollout_id, [h.request_id for h in heard])
    for row in heard:
        side = "canary" if row.copy else "stable"
        before = known.get(row.request_id)
        if before is not None and (before["compared"] or not _is_better(row, before[side])):
            continue
        _put(connection, rollout_id, row.request_id, {side: asdict(row)}, before is not None)
        known[row.request_id] = {**_EMPTY, **(before or {}), side: asdict(row)}


_EMPTY: Final[dict[str, Any]] = {"compared": False, "stable": None, "canary": None}


def _is_better(row: Heard, before: Mapping[str, Any] | None) -> bool:
    return before is None or (before["text"] is None and row.text is not None)


def _known(
    connection: Connection, rollout_id: str, request_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    query = select(_pairs.request_id, _pairs.compared, _pairs.stable, _pairs.canary).where(
        _pairs.rollout_id == rollout_id, _pairs.request_id.in_(request_ids)
    )
    return {row.request_id: dict(row._mapping) for row in connection.execute(query)}


def _put(
    connection: Connection, rollout_id: str, request_id: str, values: dict[str, Any], known: bool
) -> None:
    if known:
        this = (_pairs.rollout_id == rollout_id) & (_pairs.request_id == request_id)
        connection.execute(update(tables.shadow_pairs).where(this).values(**values))
        return
    row = {"rollout_id": rollout_id, "request_id": request_id, "compared": False}
    at = _now().isoformat()
    connection.execute(insert(tables.shadow_pairs).values(**row, at=at, **values))


def _set_cursor(connection: Connection, rollout_id: str, node: str, position: int) -> None:
    table = tables.history_cursors
    this = (table.c.rollout_id == rollout_id) & (table.c.node == node)
    if not connection.execute(update(table).where(this).values(position=position)).rowcount:
        row = {"rollout_id": rollout_id, "node": node, "position": position}
        connection.execute(insert(table).values(**row))


_NO_TEXTS: Final[dict[str, Any]] = {"stable": null(), "canary": null()}


def _counted_row(counted: Counted | None) -> dict[str, Any]:
    if counted is None:
        return {"compared": True, **_NO_TEXTS}
    row = {
        "compared": True,
        "slices": " ".join(counted.slices),
        "units": counted.units,
        "written": counted.written,
        "number_units": counted.number_units,
        "numbers": counted.numbers,
    }
    return row | _NO_TEXTS if counted.alike else row


def _forget_least(connection: Connection, rollout_id: str) -> None:
    kept = (_pairs.rollout_id == rollout_id) & _pairs.units.is_not(None)
    query = select(_pairs.request_id).where(kept, _pairs.stable.is_not(None))
    order = (_pairs.written.desc(), _pairs.request_id)
    beyond = connection.scalars(query.order_by(*order).offset(KEPT)).all()
    _forget_texts(connection, rollout_id, beyond)


def _differ(edits: Any) -> Any:
    return func.sum(case((edits > 0, 1), else_=0))


def _tally(row: Any) -> Tally:
    return Tally(
        key=row.key,
        slices=tuple(row.slices.split()),
        pairs=row.pairs,
        units=row.units,
        written=row.written,
        differ_written=row.differ_written,
        number_units=row.number_units or 0,
        numbers=row.numbers or 0,
        differ_numbers=row.differ_numbers,
    )


def _disagreement(row: Any) -> Disagreement:
    counted = Counted(
        row.units, row.written, row.numbers, row.number_units, tuple(row.slices.split())
    )
    return Disagreement(
        row.rollout_id,
        row.request_id,
        row.key_hash,
        Heard(**row.stable),
        Heard(**row.canary),
        counted,
    )


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
