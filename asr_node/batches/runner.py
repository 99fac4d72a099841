"""Works off what waits, a file at a time from the oldest batch on."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Final

from asr_node.batches import store
from asr_node.batches.store import Work
from asr_node.errors import RequestRefused
from asr_node.history.database import why
from asr_node.history.history import History
from asr_node.log import event
from asr_node.node import Node
from asr_node.recognition import Priority
from asr_node.transcriber import NOTHING_DONE, Recording, Transcriber

AT_ONCE: Final = 2  # one is decoded while the other is recognized; more would cost memory
MAX_ATTEMPTS: Final = 5  # a file that ends the whole process each time is given up
RETRY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.2


class Runner:
    """Takes files while the node is ready. What it had begun when the process was killed is
    begun again, alone: if it was what ended the process, it takes no other file along."""

    def __init__(
        self,
        node: Node,
        transcriber: Transcriber,
        history: History,
        folder: Path,
        changed: Callable[[str], None],
    ) -> None:
        """`folder` holds that of each batch; `changed` hears which batch has changed."""
        self._node = node
        self._transcriber = transcriber
        self._history = history
        self._folder = folder
        self._changed = changed
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def running(self, batch_id: str) -> set[int]:
        """Indexes of the files that are being worked on."""
        return {index for batch, index in self._running if batch == batch_id}

    async def stop(self) -> None:
        """The rest waits in the database for the next start."""
        tasks = [*self._running.values(), *([self._task] if self._task else [])]
        await _cancelled(tasks)

    async def drop(self, batch_id: str) -> None:
        """End what runs of a batch that was cancelled."""
        await _cancelled([task for (batch, _), task in self._running.items() if batch == batch_id])

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except Exception as error:
                event("batches.halted", level=logging.ERROR, reason=why(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _work(self) -> None:
        """One file begun, or a wait until there is one."""
        await self._until_ready()
        self._wake.clear()
        next_ones = partial(store.waiting, self._node.settings.name, AT_ONCE + 1)
        waiting = [
            work
            for work in await self._history.read(next_ones)
            if (work.batch_id, work.index) not in self._running
        ]
        if waiting:
            await self._begin(waiting[0])
        else:
            await self._wake.wait()

    async def _until_ready(self) -> None:
        while not self._node.ready:  # noqa: ASYNC110 (a drain, a reload: many ways to change it)
            await asyncio.sleep(POLL_SECONDS)

    async def _begin(self, work: Work) -> None:
        """Returns when there is a place for the next one."""
        await self._until_fewer_than(1 if work.attempts else AT_ONCE)
        if not self._node.ready:
            return
        key = (work.batch_id, work.index)
        self._running[key] = asyncio.create_task(self._one(work))
        self._running[key].add_done_callback(lambda _: self._ended(key))
        self._changed(work.batch_id)
        if work.attempts:
            await self._until_fewer_than(1)

    async def _until_fewer_than(self, room: int) -> None:
        while len(self._running) >= room:
            await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # the callbacks of what ended take it out

    def _ended(self, key: tuple[str, int]) -> None:
        self._running.pop(key, None)
        self._wake.set()
        self._changed(key[0])

    async def _one(self, work: Work) -> None:
        try:
            if await self._history.write(partial(store.begin, work)):
                await self._transcribe(work)
        except asyncio.CancelledError:
            # Not awaited: a database that is away must not hold up the node's end.
            self._history.write_soon(partial(store.release, work))
            raise
        except Exception as error:
            event(
                "batch.file_failed",
                level=logging.ERROR,
                request_id=work.request_id,
                reason=f"{type(error).__name__}: {error}",
            )

    async def _transcribe(self, work: Work) -> None:
        """Whatever happens to the file, it has a result in the end."""
        if work.attempts >= MAX_ATTEMPTS:
            await self._give_up(
                work, f"The node ended {work.attempts} times while it worked on this file."
            )
            return
        try:
            file = (self._folder / work.batch_id / work.stored_name).open("rb")
        except OSError as error:
            await self._give_up(work, f"The file's audio cannot be read: {error.strerror}.")
            return
        with file:
            await self._until_taken(
                work, Recording(file, work.filename, work.options, work.parameters)
            )

    async def _until_taken(self, work: Work, recording: Recording) -> None:
        while True:
            try:
                await self._transcriber.transcribe(
                    recording, work.request_id, Priority.BATCH, also=partial(store.finish, work)
                )
            except RequestRefused as refusal:
                if refusal.status in NOTHING_DONE:
                    await asyncio.sleep(RETRY_SECONDS)
                    recording.file.seek(0)  # type: ignore[union-attr]
                    continue
                event("batch.file_refused", request_id=work.request_id, code=refusal.code)
            return

    async def _give_up(self, work: Work, error: str) -> None:
        await self._transcriber.give_up(
            _recording(work, io.BytesIO()),
            work.request_id,
            Priority.BATCH,
            error,
            partial(store.finish, work),
        )


def _recording(work: Work, file: IO[bytes]) -> Recording:
    return Recording(file, work.filename, work.options, work.parameters)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
