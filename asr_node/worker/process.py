"""One worker process, seen from the node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final

from asr_node.errors import WorkerEnded
from asr_node.settings import Settings
from asr_node.subprocesses.child import Child
from asr_node.worker.frames import packed, receive_async

MODULE: Final = "asr_node.worker.main"
OUTPUT: Final = "worker.output"
EXIT_SECONDS: Final = 10.0  # from a closed connection to the end of its process


class WorkerProcess:
    """Does one thing at a time; calls wait for each other."""

    def __init__(
        self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.exited = child.exited

    @classmethod
    async def start(cls, settings: Settings) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            child = await Child.start(MODULE, theirs, OUTPUT, _environment(settings))
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(child, reader, writer)
        worker._send(settings)
        return worker

    @property
    def pid(self) -> int:
        return self._child.pid

    async def call(
        self, operation: str, *arguments: object, deadline_seconds: float | None = None
    ) -> Any:
        """The answer of asr_node.worker.operations. Raises WorkerEnded, or the operation's error.

        A caller who gives up does not stop it: the answer must not be taken for the next one's.
        A worker that has not answered by the deadline hangs, and is ended."""
        exchange = asyncio.ensure_future(self._exchange(operation, arguments))
        exchange.add_done_callback(_retrieved)
        await asyncio.wait({exchange}, timeout=deadline_seconds)
        if not exchange.done() and deadline_seconds is not None:
            self._child.kill_hung(deadline_seconds)
        return await asyncio.shield(exchange)

    async def end(self) -> None:
        """At once; it holds nothing that must be saved."""
        await self._child.end()
        self._writer.close()

    def cause(self) -> str:
        """In words, once it has ended."""
        return self._child.cause()

    @property
    def status(self) -> int | None:
        """Of the process; below zero: the signal that ended it."""
        return self._child.status

    async def _exchange(self, operation: str, arguments: tuple[object, ...]) -> Any:
        async with self._turn:
            try:
                self._send((operation, arguments))
                await self._writer.drain()
                value, error = await receive_async(self._reader)
            except (OSError, asyncio.IncompleteReadError):
                # Popen.kill would take the exit status from under asyncio's eyes.
                await asyncio.wait({self.exited}, timeout=EXIT_SECONDS)
                await self.end()
                raise WorkerEnded(self.cause()) from None
        if error is not None:
            raise error
        return value

    def _send(self, message: object) -> None:
        for part in packed(message):
            self._writer.write(part)


def _retrieved(exchange: asyncio.Future[Any]) -> None:
    """Its caller may have gone; asyncio would complain of an error that nobody saw."""
    if not exchange.cancelled():
        exchange.exception()


def _environment(settings: Settings) -> Mapping[str, str]:
    """No more threads than asked for."""
    threads = str(settings.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }
