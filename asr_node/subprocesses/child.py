"""One process of the node's, seen from the node."""

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
from typing import Final, Self

from asr_node.log import event

LONGEST_LINE: Final = 64 * 1024


class Child:
    """`exited` is done once the process has ended."""

    def __init__(self, process: Process, output: str) -> None:
        self._process = process
        self._hung_seconds: float | None = None
        self._output = asyncio.create_task(_relay(process, output))
        self.exited = asyncio.create_task(process.wait())

    @classmethod
    async def start(
        cls, module: str, connection: socket.socket, output: str, environment: Mapping[str, str]
    ) -> Self:
        """`python -m module DESCRIPTOR PARENT`, which inherits `connection`, the node's modules
        and `environment` on top of the node's own. What it prints that is no event of ours
        becomes an event named `output`. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, str(connection.fileno()), str(os.getpid())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            limit=LONGEST_LINE,
            pass_fds=(connection.fileno(),),
            env={**os.environ, "PYTHONPATH": _path(), **environment},
        )
        return cls(process, output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """None while it runs; below zero: the signal that ended it."""
        return self._process.returncode

    def kill_hung(self, seconds: float) -> None:
        """It has given no answer for so long."""
        if self._process.returncode is None:
            self._hung_seconds = seconds
            self._process.kill()

    async def end(self) -> None:
        """At once; it holds nothing that must be saved."""
        if self._process.returncode is None:
            self._process.kill()
        await self.exited
        await asyncio.wait({self._output})

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


def _path() -> str:
    return os.pathsep.join(entry for entry in sys.path if entry)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _relay(process: Process, output: str) -> None:
    """Its events go to our log as they are; what libraries print becomes one."""
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
            with suppress(OSError):  # a full disk; unread, its pipe would stop the process
                print(text, file=sys.stderr, flush=True)
        elif text:
            event(output, level=logging.WARNING, pid=process.pid, text=text)


def _is_event(text: str) -> bool:
    try:
        return text.startswith("{") and "event" in json.loads(text)
    except ValueError:
        return False
