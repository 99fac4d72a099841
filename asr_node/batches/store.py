"""Batches in the database. Each function is a part of one transaction of the history's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, exists, insert, select, update

from asr_node.history.entry import Entry, Status, now, storable
from asr_node.history.tables import BATCH_FILES, BATCHES
from asr_node.recognizer import DecodeOptions

OPTIONS: Final = (BATCHES.c.language, BATCHES.c.itn, BATCHES.c.hotwords, BATCHES.c.parameters)


class FileStatus(StrEnum):
    """`running` is known to the process alone: after its end the file is queued again."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class StagedFile:
    """Lies in the batch's folder as `stored_name`, safely on the disk."""

    filename: str
    stored_name: str


@dataclass(frozen=True, slots=True)
class NewBatch:
    id: str
    node: str
    request_id: str
    fingerprint: str
    options: DecodeOptions
    parameters: dict[str, str]
    files: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A file that waits. `attempts`: how often a process began it and did not end it."""

    batch_id: str
    index: int
    filename: str
    stored_name: str
    attempts: int
    options: DecodeOptions
    parameters: dict[str, str]

    @property
    def request_id(self) -> str:
        return f"{self.batch_id}.{self.index}"


@dataclass(frozen=True, slots=True)
class StoredBatch:
    batch: RowMapping
    files: tuple[RowMapping, ...]


def accept(batch: NewBatch, connection: Connection) -> tuple[str, str]:
    """Id and fingerprint of the batch that this request id has made, now or before."""
    known = connection.execute(
        select(BATCHES.c.id, BATCHES.c.fingerprint).where(
            BATCHES.c.node == batch.node, BATCHES.c.request_id == batch.request_id
        )
    ).first()
    if known is not None:
        return known.id, known.fingerprint
    connection.execute(
        insert(BATCHES).values(
            id=batch.id,
            node=batch.node,
            request_id=batch.request_id,
            fingerprint=batch.fingerprint,
            created_time=now(),
            cancelled=0,
            language=batch.options.language,
            itn=int(batch.options.itn),
            hotwords=list(batch.options.hotwords),
            parameters=batch.parameters,
        )
    )
    connection.execute(
        insert(BATCH_FILES), [_file(batch.id, *item) for item in enumerate(batch.files)]
    )
    return batch.id, batch.fingerprint


def _file(batch_id: str, index: int, file: StagedFile) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "file_index": index,
        "filename": storable(file.filename),
        "stored_name": file.stored_name,
        "status": FileStatus.QUEUED,
        "attempts": 0,
    }


def find(node: str, batch_id: str, connection: Connection) -> StoredBatch | None:
    batch = (
        connection.execute(select(BATCHES).where(BATCHES.c.node == node, BATCHES.c.id == batch_id))
        .mappings()
        .first()
    )
    return None if batch is None else StoredBatch(batch, _files_of(batch_id, connection))


def newest(node: str, limit: int, connection: Connection) -> list[StoredBatch]:
    """The newest first."""
    query = (
        select(BATCHES)
        .where(BATCHES.c.node == node)
        .order_by(BATCHES.c.created_time.desc(), BATCHES.c.id)
        .limit(limit)
    )
    found = connection.execute(query).mappings().all()
    return [StoredBatch(batch, _files_of(batch["id"], connection)) for batch in found]


def waiting(node: str, limit: int, connection: Connection) -> list[Work]:
    """The first that are queued; before all others what may have ended a process before."""
    query = (
        select(
            BATCH_FILES, BATCHES.c.language, BATCHES.c.itn, BATCHES.c.hotwords, BATCHES.c.parameters
        )
        .join(BATCHES, BATCHES.c.id == BATCH_FILES.c.batch_id)
        .where(BATCHES.c.node == node, BATCH_FILES.c.status == FileStatus.QUEUED)
        .order_by(
            BATCH_FILES.c.attempts.desc(),
            BATCHES.c.created_time,
            BATCHES.c.id,
            BATCH_FILES.c.file_index,
        )
        .limit(limit)
    )
    return [_work(row) for row in connection.execute(query).mappings()]


def begin(work: Work, connection: Connection) -> bool:
    """Count an attempt. False where the file waits no longer."""
    return _change(work, connection, attempts=work.attempts + 1)


def release(work: Work, connection: Connection) -> bool:
    """Not begun after all: the process ended in order."""
    return _change(work, connection, attempts=work.attempts)


def finish(work: Work, connection: Connection, entry: Entry, cursor: int) -> None:
    """Where the file was cancelled meanwhile, only the history knows of the result."""
    done = entry.status is Status.DONE
    _change(
        work,
        connection,
        status=FileStatus.DONE if done else FileStatus.FAILED,
        history_id=entry.id,
        history_cursor=cursor,
        text=entry.columns()["itn_text"] if done else None,
        error=entry.error,
    )
    _finish_batch(work.batch_id, connection)


def cancel(batch_id: str, connection: Connection) -> None:
    """What waits is done no more; what is done stays."""
    cancelled = connection.execute(
        update(BATCH_FILES)
        .where(BATCH_FILES.c.batch_id == batch_id, BATCH_FILES.c.status == FileStatus.QUEUED)
        .values(status=FileStatus.CANCELLED)
    ).rowcount
    if cancelled:
        connection.execute(update(BATCHES).where(BATCHES.c.id == batch_id).values(cancelled=1))
    _finish_batch(batch_id, connection)


def unfinished(node: str, connection: Connection) -> set[str]:
    query = select(BATCHES.c.id).where(BATCHES.c.node == node, BATCHES.c.finished_time.is_(None))
    return set(connection.execute(query).scalars())


def forget(node: str, before: datetime, connection: Connection) -> list[str]:
    """Remove the records of batches that ended before; their ids."""
    query = select(BATCHES.c.id).where(BATCHES.c.node == node, BATCHES.c.finished_time < before)
    ids = list(connection.execute(query).scalars())
    connection.execute(delete(BATCH_FILES).where(BATCH_FILES.c.batch_id.in_(ids)))
    connection.execute(delete(BATCHES).where(BATCHES.c.id.in_(ids)))
    return ids


def _files_of(batch_id: str, connection: Connection) -> tuple[RowMapping, ...]:
    query = (
        select(BATCH_FILES)
        .where(BATCH_FILES.c.batch_id == batch_id)
        .order_by(BATCH_FILES.c.file_index)
    )
    return tuple(connection.execute(query).mappings())


def _work(row: RowMapping) -> Work:
    options = DecodeOptions(row["language"], bool(row["itn"]), tuple(row["hotwords"]))
    return Work(
        row["batch_id"],
        row["file_index"],
        row["filename"],
        row["stored_name"],
        row["attempts"],
        options,
        row["parameters"],
    )


def _change(work: Work, connection: Connection, **values: Any) -> bool:
    changed = connection.execute(
        update(BATCH_FILES)
        .where(
            BATCH_FILES.c.batch_id == work.batch_id,
            BATCH_FILES.c.file_index == work.index,
            BATCH_FILES.c.status == FileStatus.QUEUED,
        )
        .values(**values)
    )
    return changed.rowcount == 1


def _finish_batch(batch_id: str, connection: Connection) -> None:
    left = exists().where(
        BATCH_FILES.c.batch_id == batch_id, BATCH_FILES.c.status == FileStatus.QUEUED
    )
    connection.execute(
        update(BATCHES)
        .where(BATCHES.c.id == batch_id, BATCHES.c.finished_time.is_(None), ~left)
        .values(finished_time=now())
    )
