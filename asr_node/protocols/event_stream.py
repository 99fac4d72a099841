"""A transcription as server-sent events, in the shape of OpenAI's stream=true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Final

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from asr_node.errors import RequestRefused, error_body
from asr_node.protocols.leaving import unless_left
from asr_node.protocols.replays import Result
from asr_node.recognition import Segment, separator

# nginx and its like must pass on each event as it comes.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Progress:
    """Segments as they become final, then the result."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[Segment | None] = asyncio.Queue()
        self._first = asyncio.Event()

    def add(self, segment: Segment) -> None:
        """On the event loop."""
        self._news.put_nowait(segment)
        self._first.set()

    def end(self, _: object = None) -> None:
        self._news.put_nowait(None)
        self._first.set()

    async def begun(self) -> None:
        """There is something to send, or nothing will ever be."""
        await self._first.wait()

    async def segments(self) -> AsyncIterator[Segment]:
        while (segment := await self._news.get()) is not None:
            yield segment


class EventStream(Response):
    """Owns what the request holds (its place, its part in the work) until the last event."""

    media_type = "text/event-stream"

    def __init__(
        self, progress: Progress, result: Result, held: ExitStack, headers: dict[str, str]
    ) -> None:
        super().__init__(headers=HEADERS | headers)
        del self.headers["content-length"]
        self._progress = progress
        self._result = result
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            try:
                await unless_left(receive, self._send(send))
            except ClientDisconnect:
                return  # the status line is out: there is nothing more to say

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for event in self._events():
            data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            body = f"data: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[dict[str, object]]:
        deltas = _Deltas()
        async for segment in self._progress.segments():
            yield deltas.next(segment)
        try:
            recognition = (await asyncio.shield(self._result)).recognition
        except RequestRefused as error:
            yield dict(error.body())
            return
        except Exception:  # the work has logged it
            yield dict(error_body("The node failed; see its log.", 500))
            return
        for segment in recognition.segments[deltas.sent :]:  # another caller's work
            yield deltas.next(segment)
        yield {"type": "transcript.text.done", "text": recognition.text}


class _Deltas:
    def __init__(self) -> None:
        self.sent = 0
        self._before = ""

    def next(self, segment: Segment) -> dict[str, object]:
        delta = separator(self._before, segment.text) + segment.text
        self._before = segment.text or self._before
        self.sent += 1
        return {"type": "transcript.text.delta", "delta": delta}
