"""Copies of other nodes' requests, for comparison: answered at once, transcribed later.

The router's mirror keeps a client's next request waiting until the copy is answered, so the
answer is 202 as soon as the body is in. Nobody waits for the text: it goes into the history.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import IO, Final, Protocol

from fastapi import Request, Response

from asr_node.errors import RequestRefused
from asr_node.log import REQUEST_ID, event
from asr_node.node import Node
from asr_node.recognition import Priority
from asr_node.transcriber import Recording, Transcriber

HEADER: Final = "X-ASR-Shadow"
DROPPED: Final = "dropped"
MOST: Final = 256
MOST_BYTES: Final = 1024**3  # on disk, beyond the first megabyte of each
AT_ONCE: Final = 8  # so that the model has something to batch
AGAIN_SECONDS: Final = 0.5
TRY_AGAIN: Final = frozenset({429, 503})


class Asked(Protocol):
    @property
    def recording(self) -> Recording: ...
    @property
    def file(self) -> IO[bytes]: ...


@dataclass(frozen=True, slots=True)
class _Shadow:
    recording: Recording
    file: IO[bytes]
    request_id: str
    size: int


def is_shadow(request: Request) -> bool:
    return request.headers.get(HEADER) == "1"


class Shadows:
    """Lives on the event loop. What waits when the node leaves is lost: a copy is no promise."""

    def __init__(
        self, node: Node, transcriber: Transcriber, most: int = MOST, most_bytes: int = MOST_BYTES
    ) -> None:
        self._node = node
        self._transcriber = transcriber
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[_Shadow] = deque()
        self._working: set[asyncio.Task[None]] = set()
        self._count = 0  # waiting and worked on
        self._bytes = 0

    @property
    def waiting(self) -> int:
        return self._count

    async def take(
        self, request: Request, receive: Callable[[Request], Awaitable[Asked]]
    ) -> Response:
        """202, with X-ASR-Shadow: dropped where there is no room; nothing a mirror would retry.

        Raises RequestRefused for what could never be transcribed."""
        if not self._has_room(0):
            async for _ in request.stream():  # the mirror sends it anyway
                pass
            return self._drop()
        asked = await receive(request)
        size = asked.file.seek(0, 2)
        asked.file.seek(0)
        if not self._has_room(size):
            asked.file.close()
            return self._drop()
        self._add(_Shadow(asked.recording, asked.file, request.state.request_id, size))
        return Response(status_code=202, headers={HEADER: "accepted"})

    async def stop(self) -> None:
        """Drops what waits and what runs."""
        if self._count:
            event("shadow.dropped", count=self._count, reason="the node leaves")
        while self._waiting:
            self._end(self._waiting.popleft())
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    def _has_room(self, size: int) -> bool:
        return (
            self._node.ready and self._count < self._most and self._bytes + size <= self._most_bytes
        )

    def _drop(self) -> Response:
        self._node.metrics.shadow_dropped()
        return Response(status_code=202, headers={HEADER: DROPPED})

    def _add(self, shadow: _Shadow) -> None:
        self._count += 1
        self._bytes += shadow.size
        self._waiting.append(shadow)
        if len(self._working) < AT_ONCE:
            task = asyncio.create_task(self._work())
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    def _end(self, shadow: _Shadow) -> None:
        shadow.file.close()
        self._count -= 1
        self._bytes -= shadow.size

    async def _work(self) -> None:
        while self._waiting:
            shadow = self._waiting.popleft()
            REQUEST_ID.set(shadow.request_id)  # of this task alone
            try:
                await self._transcribe(shadow)
            finally:
                self._end(shadow)

    async def _transcribe(self, shadow: _Shadow) -> None:
        try:
            while not await self._tried(shadow):
                await asyncio.sleep(AGAIN_SECONDS)
                shadow.file.seek(0)
        except RequestRefused as error:
            event("shadow.refused", status=error.status, code=error.code)
        except Exception as error:
            event("shadow.failed", level=logging.ERROR, error=f"{type(error).__name__}: {error}")

    async def _tried(self, shadow: _Shadow) -> bool:
        """False where nothing was done, because of live requests or of a worker that starts."""
        try:
            await self._transcriber.transcribe(shadow.recording, shadow.request_id, Priority.SHADOW)
        except RequestRefused as error:
            if error.status not in TRY_AGAIN:
                raise
            return False
        return True
