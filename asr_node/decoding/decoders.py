"""The decoders of one node, as one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import IO, Any, Final, TypeVar

from asr_node.decoding.decoder import Decoder
from asr_node.errors import DecoderEnded, RequestRefused
from asr_node.log import event
from asr_node.recognizer import Samples

T = TypeVar("T")

DECODERS: Final = 2
TRIES: Final = 2  # of a file: the first may have ended its decoder by chance
LINGER_SECONDS: Final = 1.0  # an answer that nobody waits for costs less than a new process


class Decoders:
    """Each is started when a file comes for which there is none; so is one that has ended."""

    def __init__(
        self, count: int = DECODERS, start: Callable[[], Awaitable[Decoder]] = Decoder.start
    ) -> None:
        self._start = start
        self._turns = asyncio.Semaphore(count)
        self._patient = asyncio.Semaphore(max(1, count - 1))  # one is left for who is waited for
        self._running: set[Decoder] = set()
        self._idle: list[Decoder] = []
        self._working: set[asyncio.Task[Any]] = set()

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(sorted(decoder.pid for decoder in self._running))

    def start(self) -> None:
        """One, in the background, so that the first upload does not wait for it. The others come
        when they are needed: each takes a quarter of a second, and memory."""
        self._begin(self._warm_up())

    async def close(self) -> None:
        """No process is left behind."""
        working = list(self._working)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        while self._running:
            await self._end(next(iter(self._running)))

    async def decode(self, file: IO[bytes], max_seconds: float, *, urgent: bool = True) -> Samples:
        """Raises RequestRefused: 400 for what is not audio, 422 for what ends decoders, 503 where
        the node cannot do it now.

        `urgent`: somebody waits for it; hours of audio that can wait do not take every decoder.
        A caller who gives up frees the decoder soon."""
        if urgent:
            return await self._in_turn(file, max_seconds)
        async with self._patient:
            return await self._in_turn(file, max_seconds)

    async def _in_turn(self, file: IO[bytes], max_seconds: float) -> Samples:
        await self._turns.acquire()
        work = self._begin(self._decode(file, max_seconds))
        work.add_done_callback(lambda _: self._turns.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, work.cancel)
            raise

    async def _warm_up(self) -> None:
        async with self._turns:
            await self._put_back(await self._taken())

    async def _decode(self, file: IO[bytes], max_seconds: float) -> Samples:
        for _ in range(TRIES):
            decoder = await self._taken()
            try:
                return await decoder.decode(file, max_seconds)
            except DecoderEnded as error:
                _say_ended(decoder, str(error))
            finally:
                await self._put_back(decoder)
        raise _file_ends_decoder()

    async def _taken(self) -> Decoder:
        """Raises RequestRefused: 503."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.usable:
                return decoder
            _say_ended(decoder, decoder.cause())
            await self._end(decoder)
        try:
            decoder = await self._start()
        except (OSError, DecoderEnded) as error:
            event("decoder.start_failed", level=logging.ERROR, reason=str(error))
            raise _no_decoder() from error
        self._running.add(decoder)
        return decoder

    async def _put_back(self, decoder: Decoder) -> None:
        if decoder.usable:
            self._idle.append(decoder)
        else:
            await self._end(decoder)

    async def _end(self, decoder: Decoder) -> None:
        self._running.discard(decoder)
        await decoder.end()

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone; asyncio would complain of it


def _say_ended(decoder: Decoder, cause: str) -> None:
    event("decoder.ended", level=logging.ERROR, pid=decoder.pid, status=decoder.status, cause=cause)


def _file_ends_decoder() -> RequestRefused:
    return RequestRefused(
        f"This file has ended the process that decodes it {TRIES} times and is not tried again.",
        status=422,
        param="file",
        code="file_ends_decoder",
    )


def _no_decoder() -> RequestRefused:
    return RequestRefused(
        "This node cannot start the process that decodes files; see its log. Ask another node.",
        status=503,
        code="no_decoder",
        headers={"Retry-After": "1"},
    )
