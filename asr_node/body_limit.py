"""Refuse what is too large before it is in memory (413), and who falls silent midway (408)."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_node.errors import RequestRefused
from asr_node.refusal import refusal

# After the refusal, read on for a moment: closing on a client that is still sending resets
# the connection, and many clients then never see the answer.
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 16 * 1024 * 1024
DISCONNECTED: Final[Message] = {"type": "http.disconnect"}


class BodyLimit:
    """Content-Length is judged before a byte is read; a chunked body is counted as it comes.

    `idle_seconds` is the longest pause between two pieces of a body: who sends nothing for so
    long would hold a place that others could use."""

    def __init__(self, app: ASGIApp, max_bytes: int, idle_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._max_bytes, self._idle_seconds)
        if _content_length(scope) > self._max_bytes:
            await exchange.refuse(_too_large(self._max_bytes))
        else:
            await self._app(scope, exchange.receive, exchange.send)
        if exchange.refused:
            await exchange.close()


class _Exchange:
    """One request and its answer. Once refused, the app sees a client that has left."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, max_bytes: int, idle_seconds: float
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._seen = 0
        self._complete = False
        self._answered = False
        self.refused = False

    async def receive(self) -> Message:
        if self.refused:
            return DISCONNECTED
        if self._complete:  # from here on only the client's leaving is waited for
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            return await self._cut_off(_silent(self._idle_seconds))
        self._complete = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes:
            return await self._cut_off(_too_large(self._max_bytes))
        return message

    async def send(self, message: Message) -> None:
        if not self.refused:
            self._answered = True
            await self._send(message)

    async def refuse(self, error: RequestRefused) -> None:
        """The answer's end is held back until `close`."""
        self.refused = True
        error.headers["Connection"] = "close"

        async def send_open(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["more_body"] = True
            await self._send(message)

        await refusal(self._scope, error)(self._scope, self._receive, send_open)

    async def close(self) -> None:
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0 and not self._complete:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        break
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cut_off(self, error: RequestRefused) -> Message:
        if not self._answered:  # else it has its answer, and only the rest of its body is lost
            await self.refuse(error)
        return DISCONNECTED


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        f"The request is larger than {max_bytes} bytes, this node's limit.",
        status=413,
        param="file",
        code="body_too_large",
    )


def _silent(idle_seconds: float) -> RequestRefused:
    return RequestRefused(
        f"Nothing of the request's body came for {idle_seconds:g} seconds; nothing was done. "
        "Send it again, without pauses.",
        status=408,
        code="idle_timeout",
    )


def _content_length(scope: Scope) -> int:
    """0 where there is none; the HTTP parser has refused what is not a number."""
    return int(Headers(scope=scope).get("content-length", "0"))
