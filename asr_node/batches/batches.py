"""The batches of one node: accepted, looked at, cancelled, forgotten."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from asr_node.batches import store
from asr_node.batches.runner import Runner
from asr_node.batches.staging import FOLDER, Upload, full_disk_refused, remove, stage
from asr_node.batches.store import FileStatus, NewBatch, StoredBatch
from asr_node.errors import RequestRefused
from asr_node.history.entry import now, storable
from asr_node.history.history import History, HistoryAway, in_words
from asr_node.log import event
from asr_node.node import Node
from asr_node.recognizer import DecodeOptions
from asr_node.transcriber import Transcriber

BATCH_ID: Final = re.compile(r"batch_[a-z0-9][a-z0-9._-]{0,62}_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Asked:
    request_id: str
    uploads: Sequence[Upload]
    options: DecodeOptions
    parameters: dict[str, str]


class Batches:
    """Accepted means durable: audio and rows are on the disk before `accept` returns."""

    def __init__(self, node: Node, transcriber: Transcriber, history: History) -> None:
        self.node = node
        self._history = history
        self._folder = node.settings.data_dir / FOLDER
        self._name = node.settings.name
        self._accepting: set[str] = set()
        self._changes = 0
        self._condition = asyncio.Condition()
        self._removals: set[asyncio.Task[None]] = set()
        self._runner = Runner(node, transcriber, history, self._folder, self._changed)

    def start(self) -> None:
        self._runner.start()
        self._later(self._remove_leftovers())

    async def stop(self) -> None:
        await self._runner.stop()

    async def accept(self, asked: Asked) -> str:
        """Its id: that of an earlier batch, where the request is the same once more.

        Raises RequestRefused: nothing was accepted, and nothing is left behind."""
        if not self._history.writable:
            raise HistoryAway(self._history.degraded or "it is closed")
        batch_id = f"batch_{self._name}_{secrets.token_hex(16)}"
        self._accepting.add(batch_id)
        try:
            with full_disk_refused():
                files, digest = await asyncio.to_thread(
                    stage, self._folder / batch_id, asked.uploads
                )
            new = NewBatch(
                batch_id,
                self._name,
                asked.request_id,
                _fingerprint(asked.options, digest),
                asked.options,
                asked.parameters,
                files,
            )
            accepted, fingerprint = await self._history.write(partial(store.accept, new))
        except Exception:  # not: cancelled, when it may still be written
            await asyncio.to_thread(remove, self._folder / batch_id)
            raise
        finally:
            self._accepting.discard(batch_id)
        if accepted != batch_id:
            await asyncio.to_thread(remove, self._folder / batch_id)
            if fingerprint != new.fingerprint:
                raise _other_batch(asked.request_id)
            return accepted
        event("batch.accepted", id=batch_id, request_id=asked.request_id, files=len(files))
        self._runner.wake()
        return batch_id

    async def view(self, batch_id: str) -> dict[str, Any]:
        """As GET answers it. Raises RequestRefused."""
        if not BATCH_ID.fullmatch(batch_id):
            raise _unknown(batch_id)
        found = await self._history.read(partial(store.find, self._name, batch_id))
        if found is None:
            raise _unknown(batch_id)
        return self._view(found)

    async def newest(self, limit: int) -> list[dict[str, Any]]:
        """Without their files."""
        found = await self._history.read(partial(store.newest, self._name, limit))
        return [_summary(self._view(stored)) for stored in found]

    async def cancel(self, batch_id: str) -> dict[str, Any]:
        await self.view(batch_id)  # raises where there is none
        await self._history.write(partial(store.cancel, batch_id))
        await self._runner.drop(batch_id)
        await asyncio.to_thread(remove, self._folder / batch_id)
        self._changed(batch_id)
        return await self.view(batch_id)

    async def expire(self) -> None:
        before = now() - timedelta(days=self.node.settings.batch_days)
        gone = await self._history.write(partial(store.forget, self._name, before))
        for batch_id in gone:
            await asyncio.to_thread(remove, self._folder / batch_id)
        if gone:
            event("batches.forgotten", batches=len(gone))

    @property
    def changes(self) -> int:
        """Counts what happens to any batch."""
        return self._changes

    async def wait_for_change(self, seen: int, seconds: float) -> None:
        """Returns when `changes` is no longer `seen`, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._condition:
                await self._condition.wait_for(lambda: self._changes != seen)
        except TimeoutError:
            return

    def _changed(self, batch_id: str) -> None:
        self._later(self._tell(batch_id))

    async def _tell(self, batch_id: str) -> None:
        async with self._condition:
            self._changes += 1
            self._condition.notify_all()
        if not self._runner.running(batch_id):
            await self._remove_if_finished(batch_id)

    async def _remove_if_finished(self, batch_id: str) -> None:
        found = await self._history.read(partial(store.find, self._name, batch_id))
        if found is not None and found.batch["finished_time"] is not None:
            await asyncio.to_thread(remove, self._folder / batch_id)

    async def _remove_leftovers(self) -> None:
        """Of a process that was killed between two steps. Where a damaged database was set
        aside, unknown folders stay: it may still know them."""
        while self._history.degraded is not None or not self.node.ready:  # noqa: ASYNC110
            await asyncio.sleep(1.0)
        # Listed before the database is asked: what is accepted meanwhile is in neither.
        found = [
            folder for folder in self._folder.glob("batch_*") if folder.name not in self._accepting
        ]
        known = await self._history.read(partial(store.unfinished, self._name))
        for folder in found:
            if folder.name not in known:
                await asyncio.to_thread(remove, folder)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(_quietly(work))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    def _view(self, stored: StoredBatch) -> dict[str, Any]:
        batch = stored.batch
        running = self._runner.running(batch["id"])
        files = [_file(row, running) for row in stored.files]
        finished = batch["finished_time"]
        return {
            "id": batch["id"],
            "status": _status(batch, files),
            "node": self._name,
            "version": self.node.settings.version,
            "digest": self.node.digest,
            "request_id": batch["request_id"],
            "created_time": in_words(batch["created_time"]),
            "finished_time": in_words(finished) if finished else None,
            "counts": {
                "total": len(files),
                **{status: _count(files, status) for status in FileStatus},
            },
            "files": files,
        }


async def _quietly(work: Any) -> None:
    try:
        await work
    except HistoryAway as error:
        event("batches.upkeep_failed", reason=error.message)


def _summary(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "files"}


def _file(row: Any, running: set[int]) -> dict[str, Any]:
    queued = row["status"] == FileStatus.QUEUED
    return {
        "index": row["file_index"],
        "filename": row["filename"],
        "status": FileStatus.RUNNING if queued and row["file_index"] in running else row["status"],
        "history_id": row["history_id"],
        "cursor": row["history_cursor"],
        "text": row["text"],
        "error": row["error"],
    }


def _status(batch: Any, files: list[dict[str, Any]]) -> str:
    if batch["cancelled"]:
        return FileStatus.CANCELLED
    if batch["finished_time"] is not None:
        return FileStatus.DONE
    waits = all(file["status"] == FileStatus.QUEUED for file in files)
    return FileStatus.QUEUED if waits else FileStatus.RUNNING


def _count(files: list[dict[str, Any]], status: FileStatus) -> int:
    return sum(file["status"] == status for file in files)


def _fingerprint(options: DecodeOptions, digest: str) -> str:
    hotwords = storable("|".join(options.hotwords))
    return f"{digest} {options.language} {options.itn} {hotwords}"


def _unknown(batch_id: str) -> RequestRefused:
    return RequestRefused(
        f"This node knows no batch {batch_id}; finished ones are forgotten after some days.",
        status=404,
        code="batch_not_found",
    )


def _other_batch(request_id: str) -> RequestRefused:
    return RequestRefused(
        f"X-Request-ID {request_id} has made another batch, of other files or options; nothing "
        "was accepted. Send a new id.",
        status=422,
        code="request_id_reused",
    )
