"""One decoder process, seen from the node."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import IO, Final, Self

import numpy as np

from asr_node.decoding.collecting import Collected
from asr_node.decoding.wire import (
    ASK,
    DESCRIPTOR,
    END,
    HELLO,
    PART,
    REFUSAL,
    SAMPLES,
    Nonsense,
    Part,
    refusal_of,
)
from asr_node.errors import DecoderEnded
from asr_node.recognizer import SAMPLE_RATE, Samples
from asr_node.subprocesses.child import Child

MODULE: Final = "asr_node.decoding.main"
OUTPUT: Final = "decoder.output"
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1"}  # it computes no matrices
HANG_SECONDS: Final = 60.0  # for 16 seconds of audio, of which it decodes hours in a minute
START_SECONDS: Final = 60.0  # until it has said HELLO
EXIT_SECONDS: Final = 10.0  # from a closed connection to the end of its process
BROKEN: Final = (OSError, EOFError, Nonsense)
IN_MEMORY_BYTES: Final = 1024 * 1024  # Starlette's bound: uploads beyond it lie on the disk


class Decoder:
    """Does one file at a time. On the event loop without threads: they would fight for Python's
    global lock, and the copies that are made here take less than the fight."""

    def __init__(self, child: Child, connection: socket.socket, patience_seconds: float) -> None:
        self._child = child
        self._connection = connection
        self._patience_seconds = patience_seconds
        self._busy = False

    @classmethod
    async def start(cls, module: str = MODULE, hang_seconds: float = HANG_SECONDS) -> Self:
        """Raises OSError where there can be no other process, DecoderEnded where it ends."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                child = await Child.start(module, theirs, OUTPUT, ENVIRONMENT)
        except BaseException:
            ours.close()
            raise
        decoder = cls(child, ours, START_SECONDS)
        try:
            await decoder._greeted()
        except BaseException:
            await decoder.end()
            raise
        decoder._patience_seconds = hang_seconds
        return decoder

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def status(self) -> int | None:
        """None while it runs; below zero: the signal that ended it."""
        return self._child.status

    def cause(self) -> str:
        """In words, once it has ended."""
        return self._child.cause()

    @property
    def usable(self) -> bool:
        """Else only to be ended: it is gone, or in the middle of an answer."""
        return not self._busy and not self._child.exited.done()

    async def decode(self, file: IO[bytes], max_seconds: float) -> Samples:
        """Raises RequestRefused, or DecoderEnded."""
        given = _given(file)
        self._busy = True
        try:
            await self._ask(given, max_seconds)
            return await self._collected(max_seconds)
        except BROKEN as error:
            raise await self._ended(error) from error

    async def end(self) -> None:
        """At once."""
        self._busy = True
        await self._child.end()
        self._connection.close()

    async def _ask(self, given: bytes | int, max_seconds: float) -> None:
        if isinstance(given, int):  # at once: an empty connection has room for it
            head = ASK.pack(max_seconds, DESCRIPTOR)
            socket.send_fds(self._connection, [head], [given])
            return
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience_seconds):
            await loop.sock_sendall(self._connection, ASK.pack(max_seconds, len(given)))
            await loop.sock_sendall(self._connection, given)

    async def _collected(self, max_seconds: float) -> Samples:
        with Collected() as collected:
            async for block in self._blocks(max_seconds):
                if collected.fits(block):
                    collected.add(block)
                else:
                    await asyncio.to_thread(collected.add, block)
            if collected.is_whole:
                return collected.samples()
            return await asyncio.to_thread(collected.samples)

    async def _blocks(self, max_seconds: float) -> AsyncIterator[Samples]:
        """Raises RequestRefused at its end, too."""
        count = 0
        while (part := await self._part()).kind == SAMPLES:
            block = np.empty(part.size // 4, np.float32)
            await self._receive(block.data.cast("B"))
            count += block.size
            if count > max_seconds * SAMPLE_RATE:
                raise Nonsense("more samples than were asked for")
            yield block
        if part.kind == REFUSAL:
            body = bytearray(part.size)
            await self._receive(memoryview(body))
            self._busy = False
            raise refusal_of(body)
        if part.kind != END or not count:
            raise Nonsense(f"{part.kind!r} after {count} samples")
        self._busy = False

    async def _greeted(self) -> None:
        try:
            if (await self._part()).kind != HELLO:
                raise Nonsense("no greeting")
        except BROKEN as error:
            raise await self._ended(error) from error

    async def _part(self) -> Part:
        head = bytearray(PART.size)
        await self._receive(memoryview(head))
        return Part.read(head)

    async def _receive(self, view: memoryview) -> None:
        """Until it is full."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience_seconds):
            while view:
                count = await loop.sock_recv_into(self._connection, view)
                if count == 0:
                    raise EOFError
                view = view[count:]

    async def _ended(self, error: Exception) -> DecoderEnded:
        """Once it has. Says by what."""
        nonsense = f"it answered with {error}" if isinstance(error, Nonsense) else None
        if isinstance(error, TimeoutError):
            self._child.kill_hung(self._patience_seconds)
        elif nonsense is None:
            await asyncio.wait({self._child.exited}, timeout=EXIT_SECONDS)
        await self.end()
        return DecoderEnded(nonsense or self._child.cause())


def _given(file: IO[bytes]) -> bytes | int:
    """Its content, or the descriptor of what lies on the disk.

    A small spooled file is in memory, and would go to the disk if it were asked for its
    descriptor."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not (isinstance(file, tempfile.SpooledTemporaryFile) and size <= IN_MEMORY_BYTES):
        with suppress(io.UnsupportedOperation):
            return file.fileno()
    return file.read()
