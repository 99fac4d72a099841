"""Saves and loads. Every change of state is one transaction together with its events."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, func, insert, select, update

from controller.adapters.store import tables
from controller.adapters.store.database import open_database
from controller.adapters.store.reviews import SqlReviews
from controller.adapters.store.shadows import ShadowStore
from controller.core.errors import NotFound, Refused
from controller.core.fleet import Fleet
from controller.core.rollout import ENDED, Phase, Rollout
from controller.core.version import Version
from controller.engine.records import Command, Evaluation, Event, Intent, Outcome, Saved

log = logging.getLogger(__name__)

_FLEET: Final = TypeAdapter(Fleet)
_ROLLOUT: Final = TypeAdapter(Rollout)
_VERSION: Final = TypeAdapter(Version)


class SqlStore:
    """Implements the Store port. Synchronous: callers on the event loop use `asyncio.to_thread`.
    All methods raise StoreUnavailable where the database cannot be read or written."""

    def __init__(self, url: str) -> None:
        self._engine = open_database(url)
        self.reviews = SqlReviews(self._engine, _add_event)
        self.shadows = ShadowStore(self._engine)

    @classmethod
    def in_folder(cls, state_dir: Path) -> SqlStore:
        """The default: one SQLite file in the state folder."""
        return cls(f"sqlite:///{state_dir / 'state.db'}")

    def load(self) -> Saved:
        with self._engine.connect() as connection:
            fleet = connection.scalar(select(tables.fleet.c.state))
            newest = select(tables.rollouts.c.state).order_by(tables.rollouts.c.created_at.desc())
            rollout = connection.scalar(newest.limit(1))
            rows = connection.execute(select(tables.versions)).all()
        return Saved(
            fleet=_FLEET.validate_python(fleet) if fleet else None,
            rollout=_ROLLOUT.validate_python(rollout) if rollout else None,
            versions=_versions(rows),
            digests={row.name: row.digest for row in rows if row.digest},
        )

    def save(
        self,
        events: Sequence[Event],
        fleet: Fleet | None = None,
        rollout: Rollout | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: Rollout | None = None,
    ) -> list[Event]:
        """Save what is given and its events in one transaction; the events get their ids."""
        with self._engine.begin() as connection:
            if fleet is not None:
                _replace(connection, tables.fleet, "id", {"id": 1, "state": _dump(_FLEET, fleet)})
            for changed in (rollout, earlier):
                if changed is not None:
                    _replace(connection, tables.rollouts, "id", _rollout_row(changed))
            if handled is not None:
                _mark_handled(connection, *handled)
            return [_add_event(connection, entry) for entry in events]

    def save_version(self, version: Version, digest: str | None, entry: Event) -> None:
        """Add or complete a version; its digest, once pinned, is only set by the first caller."""
        row = {"name": version.name, "state": _dump(_VERSION, version), "digest": digest}
        with self._engine.begin() as connection:
            _replace(connection, tables.versions, "name", row)
            _add_event(connection, entry)

    def add_intent(self, command: Command, arguments: dict[str, Any], actor: str) -> Intent:
        """Accept a command: from here on it survives a crash."""
        at = datetime.datetime.now(datetime.UTC)
        row = {"at": at.isoformat(), "actor": actor, "command": command, "arguments": arguments}
        with self._engine.begin() as connection:
            result = connection.execute(insert(tables.intents).values(**row, done=False))
            key = result.inserted_primary_key
        return Intent(key[0] if key else 0, command, arguments, actor, at)

    def pending_intents(self) -> list[Intent]:
        query = select(tables.intents).where(tables.intents.c.done.is_(False))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(tables.intents.c.id)).all()
        return [
            Intent(row.id, row.command, row.arguments, row.actor, _time(row.at)) for row in rows
        ]

    def events(self, after: int = 0, limit: int = 200) -> list[Event]:
        """Events in order, beginning behind the id `after`."""
        query = select(tables.events).where(tables.events.c.id > after)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(tables.events.c.id).limit(limit)).all()
        return [_event(row) for row in rows]

    def last_events(self, limit: int) -> list[Event]:
        """The newest events, oldest first."""
        query = select(tables.events).order_by(tables.events.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_event(row) for row in connection.execute(query).all()][::-1]

    def last_event_id(self) -> int:
        """The id of the newest event; 0 where there is none."""
        with self._engine.connect() as connection:
            return connection.scalar(select(func.max(tables.events.c.id))) or 0

    def rollout_events(self, rollout_id: str, limit: int) -> list[Event]:
        """What happened while a rollout was under way, and what concerned it afterwards; in
        order, the earliest `limit`."""
        events = tables.events
        with self._engine.connect() as connection:
            own = connection.execute(
                select(events).where(events.c.subject == rollout_id).order_by(events.c.id)
            ).all()
            if not own:
                return []
            changes = [row for row in own if row.kind == "rollout.phase_changed"]
            ended = [row.id for row in changes if row.data.get("phase") in ENDED]
            during = events.c.id >= own[0].id - 1  # the command that led to it stands before
            later = events.c.subject == rollout_id
            if ended:
                during &= events.c.id <= ended[0]
                before = [row.id - 1 for row in own if row.id > ended[0]]
                later |= events.c.id.in_(before) & events.c.kind.startswith("command.")
            query = select(events).where(during | later)
            rows = connection.execute(query.order_by(events.c.id).limit(limit)).all()
        return [_event(row) for row in rows]

    def cursor(self, name: str) -> int | None:
        """The id of the last event that this reader had; None before its first."""
        query = select(tables.cursors.c.position).where(tables.cursors.c.name == name)
        with self._engine.connect() as connection:
            return connection.scalar(query)

    def move_cursor(self, name: str, position: int) -> None:
        with self._engine.begin() as connection:
            _replace(connection, tables.cursors, "name", {"name": name, "position": position})

    def rollout(self, rollout_id: str) -> Rollout:
        """Raises NotFound."""
        query = select(tables.rollouts.c.state).where(tables.rollouts.c.id == rollout_id)
        with self._engine.connect() as connection:
            state = connection.scalar(query)
        if state is None:
            raise NotFound(f"there is no rollout {rollout_id!r}; `rollout history` lists them")
        return _ROLLOUT.validate_python(state)

    def promotion_of(self, version: str) -> Rollout | None:
        """The newest rollout that ended with this version promoted, and was not taken back."""
        table = tables.rollouts
        promoted = (table.c.version == version) & (table.c.phase == Phase.PROMOTED.value)
        query = select(table.c.state).where(promoted).order_by(table.c.created_at.desc())
        with self._engine.connect() as connection:
            state = connection.scalar(query.limit(1))
        return _ROLLOUT.validate_python(state) if state else None

    def rollouts(self, limit: int = 50) -> list[Rollout]:
        """The newest rollouts, newest first."""
        query = select(tables.rollouts.c.state).order_by(tables.rollouts.c.created_at.desc())
        with self._engine.connect() as connection:
            states = connection.scalars(query.limit(limit)).all()
        return [_ROLLOUT.validate_python(state) for state in states]

    def save_evaluation(self, evaluation: Evaluation, entry: Event) -> None:
        row = {
            "version": evaluation.version,
            "version_digest": evaluation.version_digest,
            "eval_set": evaluation.eval_set,
            "eval_set_digest": evaluation.eval_set_digest,
            "at": evaluation.at.isoformat(),
            "hypotheses": dict(evaluation.hypotheses),
            "seconds": dict(evaluation.seconds),
        }
        same = (tables.evaluations.c.version_digest == evaluation.version_digest) & (
            tables.evaluations.c.eval_set_digest == evaluation.eval_set_digest
        )
        with self._engine.begin() as connection:
            connection.execute(tables.evaluations.delete().where(same))
            connection.execute(insert(tables.evaluations).values(**row))
            _add_event(connection, entry)

    def evaluation(self, version_digest: str, eval_set_digest: str) -> Evaluation | None:
        query = select(tables.evaluations).where(
            tables.evaluations.c.version_digest == version_digest,
            tables.evaluations.c.eval_set_digest == eval_set_digest,
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Evaluation(
            row.version, version_digest, row.eval_set, eval_set_digest, _time(row.at),
            row.hypotheses, row.seconds or {},
        )  # fmt: skip

    def save_live_evidence(
        self, rollout_id: str, position: str | None, state: dict[str, Any]
    ) -> None:
        """Evidence and position together: no request counts twice. Older rollouts' is dropped."""
        row = {"rollout_id": rollout_id, "position": position, "state": state}
        table = tables.live_evidence
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(table.c.rollout_id != rollout_id))
            _replace(connection, table, "rollout_id", row)

    def live_evidence(self, rollout_id: str) -> tuple[str | None, dict[str, Any]] | None:
        """Position and state as they were saved last."""
        table = tables.live_evidence
        query = select(table.c.position, table.c.state).where(table.c.rollout_id == rollout_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.position, row.state)

    def close(self) -> None:
        self._engine.dispose()


def _versions(rows: Iterable[Row[Any]]) -> dict[str, Version]:
    """One that an earlier program accepted and this one refuses must not stop all others."""
    versions = {}
    for row in rows:
        try:
            versions[row.name] = _VERSION.validate_python(row.state)
        except (Refused, ValidationError) as error:
            log.warning("store.version_left_out name=%s error=%s", row.name, error)
    return versions


def _replace(connection: Connection, table: Any, key: str, row: dict[str, Any]) -> None:
    values = {column: value for column, value in row.items() if column != key}
    changed = connection.execute(update(table).where(table.c[key] == row[key]).values(**values))
    if not changed.rowcount:
        connection.execute(insert(table).values(**row))


def _dump(adapter: TypeAdapter[Any], value: object) -> Any:
    return adapter.dump_python(value, mode="json")


def _rollout_row(rollout: Rollout) -> dict[str, Any]:
    return {
        "id": rollout.id,
        "created_at": rollout.created_at.isoformat(),
        "version": rollout.version,
        "phase": rollout.phase.value,
        "state": _dump(_ROLLOUT, rollout),
    }


def _mark_handled(connection: Connection, intent: Intent, outcome: Outcome) -> None:
    values = {"done": True, "refused": outcome.refusal is not None, "outcome": outcome.message}
    row = tables.intents.c.id == intent.id
    connection.execute(update(tables.intents).where(row).values(**values))


def _add_event(connection: Connection, entry: Event) -> Event:
    row = {
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "kind": entry.kind,
        "subject": entry.subject,
        "message": entry.message,
        "data": dict(entry.data),
    }
    result = connection.execute(insert(tables.events).values(**row))
    key = result.inserted_primary_key
    return Event(
        entry.kind, entry.subject, entry.message, entry.actor, entry.at, entry.data,
        id=key[0] if key else None,
    )  # fmt: skip


def _event(row: Any) -> Event:
    return Event(row.kind, row.subject, row.message, row.actor, _time(row.at), row.data, id=row.id)


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
