"""What was heard of copied requests: halves as histories bring them, then pairs, then counts.

Texts that agree are not kept, nor those of pairs beyond the worst: they are what users said."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, null, select, tuple_, update
from sqlalchemy.engine import Engine

from controller.adapters.store import shadow_counts, tables
from controller.adapters.store.upsert import upsert
from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Counted, Disagreement, Heard

KEPT: Final = 500  # pairs with their texts, of a rollout
_WAITS: Final = datetime.timedelta(hours=1)  # for its other half
_CHUNK: Final = 500  # of one transaction: in SQLite nobody else writes meanwhile
_pairs = tables.shadow_pairs.c
_tallies = tables.shadow_tallies.c


class ShadowStore:
    """Implements the ShadowStore port. Each method may be repeated; transactions are short."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cursors(self, rollout_id: str) -> dict[str, int]:
        """How far each node's history was read."""
        table = tables.history_cursors.c
        query = select(table.node, table.position).where(table.rollout_id == rollout_id)
        with self._engine.connect() as connection:
            return {row.node: row.position for row in connection.execute(query)}

    def take(self, rollout_id: str, node: str, position: int, heard: Sequence[Heard]) -> None:
        """Rows of a node's history (some hundreds), and how far it was read with them. A second
        row of a request changes nothing, unless the first failed."""
        with self._engine.begin() as connection:
            _add_halves(connection, rollout_id, heard)
            _set_cursor(connection, rollout_id, node, position)

    def take_keys(self, rollout_id: str, keys: Mapping[str, str]) -> None:
        """The sticky keys (hashes) of requests, by their ids."""
        for some in _chunks([*keys]):
            with self._engine.begin() as connection:
                _put(connection, rollout_id, "key_hash", {i: keys[i] for i in some})

    def uncompared(self, rollout_id: str, limit: int) -> list[tuple[Heard, Heard]]:
        """Pairs of which both halves are there, stable's first, and the sticky key: one user's
        requests are not to count as many users."""
        query = (
            select(_pairs.stable, _pairs.canary)
            .where(_pairs.rollout_id == rollout_id, tables.TO_COMPARE)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [(Heard(**row.stable), Heard(**row.canary)) for row in connection.execute(query)]

    def compared(self, rollout_id: str, found: Mapping[str, Counted | None]) -> None:
        """What was counted, by request; None: not to be counted, and forgotten."""
        for some in _chunks([*found]):
            with self._engine.begin() as connection:
                new = shadow_counts.new(connection, rollout_id, some)
                shadow_counts.mark(connection, rollout_id, {i: found[i] for i in new})
                alike = [i for i in new if (counted := found[i]) is None or counted.alike]
                _forget_texts(connection, rollout_id, alike)
                counts = ((key, found[i]) for i, key in new.items() if key is not None)
                shadow_counts.add_up(connection, rollout_id, counts)

    def keep_worst(self, rollout_id: str) -> None:
        """Forget the texts of all other pairs."""
        query = select(_pairs.request_id).where(_pairs.rollout_id == rollout_id, tables.WITH_TEXTS)
        with self._engine.connect() as connection:
            beyond = connection.scalars(query.order_by(*_WORST).offset(KEPT)).all()
        self.forget_texts(rollout_id, beyond)

    def tallies(self, rollout_id: str) -> list[Tally]:
        """All pairs that were counted, by sticky key."""
        query = select(tables.shadow_tallies).where(_tallies.rollout_id == rollout_id)
        with self._engine.connect() as connection:
            return [shadow_counts.tally(row) for row in connection.execute(query)]

    def disagreements(self, rollout_id: str, limit: int = KEPT) -> list[Disagreement]:
        """The pairs that differ most, most edits first, with their texts."""
        query = (
            select(tables.shadow_pairs)
            .where(_pairs.rollout_id == rollout_id, tables.WITH_TEXTS)
            .order_by(*_WORST)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [_disagreement(row) for row in connection.execute(query)]

    def forget_texts(self, rollout_id: str, request_ids: Sequence[str]) -> None:
        """Of these pairs; what was counted stays."""
        for some in _chunks([*request_ids]):
            with self._engine.begin() as connection:
                _forget_texts(connection, rollout_id, some)

    def forget_old(self) -> None:
        """Halves of any rollout that waited for too long, and of pairs without texts the rows:
        their counts are added up."""
        self._forget(_pairs.at < (_now() - _WAITS).isoformat())

    def end(self, rollout_id: str) -> None:
        """Nothing more will be read for it: forget what never became a pair, and how far
        histories were read."""
        self._forget(_pairs.rollout_id == rollout_id)
        table = tables.history_cursors
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.rollout_id == rollout_id))

    def _forget(self, which: ColumnElement[bool]) -> None:
        row = (_pairs.rollout_id, _pairs.request_id)
        some = select(*row).where(which, tables.NOT_TO_KEEP).limit(_CHUNK)
        query = delete(tables.shadow_pairs).where(tuple_(*row).in_(some))
        gone = _CHUNK
        while gone == _CHUNK:
            with self._engine.begin() as connection:
                gone = connection.execute(query).rowcount


_WORST: Final = (_pairs.written.desc(), _pairs.request_id.desc())


def _forget_texts(connection: Connection, rollout_id: str, request_ids: Sequence[str]) -> None:
    these = (_pairs.rollout_id == rollout_id) & _pairs.request_id.in_(request_ids)
    connection.execute(update(tables.shadow_pairs).where(these).values(**_NO_TEXTS))


def _add_halves(connection: Connection, rollout_id: str, heard: Sequence[Heard]) -> None:
    known = _known(connection, rollout_id, [h.request_id for h in heard])
    halves: dict[str, dict[str, Any]] = {"stable": {}, "canary": {}}
    for row in heard:
        side = halves["canary" if row.copy else "stable"]
        before = known.get(row.request_id, _EMPTY)
        half = side.get(row.request_id, before["canary" if row.copy else "stable"])
        if not before["compared"] and _is_better(row, half):
            side[row.request_id] = asdict(row)
    for name, side in halves.items():
        _put(connection, rollout_id, name, side)


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


def _put(connection: Connection, rollout_id: str, column: str, values: Mapping[str, Any]) -> None:
    """One column of these requests' rows, which are made where there are none."""
    row = {"rollout_id": rollout_id, "at": _now().isoformat(), "compared": False}
    rows = [{**row, "request_id": request_id, column: v} for request_id, v in values.items()]
    upsert(connection, tables.shadow_pairs, rows, lambda added: {column: added[column]})


def _set_cursor(connection: Connection, rollout_id: str, node: str, position: int) -> None:
    row = {"rollout_id": rollout_id, "node": node, "position": position}
    upsert(connection, tables.history_cursors, [row], lambda new: {"position": new.position})


_NO_TEXTS: Final[dict[str, Any]] = {"stable": null(), "canary": null()}


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
