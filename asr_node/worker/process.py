"""One worker process, seen from the node."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from asr_node.errors import WorkerEnded
from asr_node.log import event
from asr_node.settings import Settings
from asr_node.worker.frames import packed, receive_async

LONGEST_LINE: Final = 64 * 1024
EXIT_SECONDS: Final = 10.0  # from a closed connection to the end of its process


class WorkerProcess:
    """Does one thing at a time; calls wait for each other."""

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._hung_seconds: float | None = None
        self._output = asyncio.create_task(_relay(process))
        self.exited = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, settings: Settings) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "asr_node.worker.main"),
                *(str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                limit=LONGEST_LINE,
                pass_fds=(theirs.fileno(),),
                env=_environment(settings),
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        worker._send(settings)
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(
        self, operation: str, *arguments: object, deadline_seconds: float | None = None
    ) -> Any:
        """The answer of asr_node.worker.operations. Raises WorkerEnded, or the operation's error.

        A caller who gives up does not stop it: the answer must not be taken for the next one's.
        A worker that has not answered by the deadline hangs, and is ended."""
        exchange = asyncio.ensure_future(self._exchange(operation, arguments))
        exchange.add_done_callback(_retrieved)
        await asyncio.wait({exchange}, timeout=deadline_seconds)
        if not exchange.done() and self._process.returncode is None:
            self._hung_seconds = deadline_seconds
            self._process.kill()
        return await asyncio.shield(exchange)

    async def end(self) -> None:
        """At once; it holds nothing that must be saved."""
        if self._process.returncode is None:
            self._process.kill()
        await self.exited
        await asyncio.wait({self._output})
        self._writer.close()

    def cause(self) -> str:
        """In words, once it has ended."""
        if self._hung_seconds is not None:
            return f"it gave no answer for {self._hung_seconds:g} s"
        status = self._process.returncode
        if status is None or status >= 0:
            return f"it exited with status {status}"
        name = _signal_name(-status)
        hint = " (perhaps by the kernel, out of memory)" if name == "SIGKILL" else ""
        return f"it was ended by {name}{hint}"

    @property
    def status(self) -> int | None:
        """Of the process; below zero: the signal that ended it."""
        return self._process.returncode

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
    """The same modules as ours, and no more threads than asked for."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    threads = str(settings.threads)
    return os.environ | {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _relay(process: Process) -> None:
    """Its events go to our log as they are; what libraries print becomes `worker.output`."""
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than the limit; the rest of it follows
            continue
        if not line:
            return
        text = line.decode("utf-8", errors="replace").rstrip()
        if _is_event(text):
            with suppress(OSError):  # a full disk; unread, the worker's pipe would stop the worker
                print(text, file=sys.stderr, flush=True)
        elif text:
            event("worker.output", level=logging.WARNING, pid=process.pid, text=text)


def _is_event(text: str) -> bool:
    try:
        return text.startswith("{") and "event" in json.loads(text)
    except ValueError:
        return False
