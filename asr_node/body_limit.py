"""Refuse what is too large before it is in memory: 413."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_node.errors import error_body

# After the refusal, read on for a moment: closing on a client that is still sending resets
# the connection, and many clients then never see the answer.
LINGER_SECONDS: Final = 1.0
LINGER_BYTES: Final = 16 * 1024 * 1024


class BodyLimit:
    """Content-Length is judged before a byte is read; a chunked body is counted as it comes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self._max_bytes)
        if _content_length(scope) > self._max_bytes:
            await exchange.refuse()
        else:
            await self._app(scope, exchange.receive, exchange.send)
        if exchange.refused:
            await exchange.close()


class _Exchange:
    """One request and its answer. Once refused, the app sees a client that has left."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._seen = 0
        self._answered = False
        self.refused = False

    async def receive(self) -> Message:
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes and not self._answered:
            await self.refuse()
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if not self.refused:
            self._answered = True
            await self._send(message)

    async def refuse(self) -> None:
        self.refused = True
        text = f"The request is larger than {self._max_bytes} bytes, this node's limit."
        body = json.dumps(error_body(text, 413, "file", "body_too_large")).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await self._send({"type": "http.response.start", "status": 413, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def close(self) -> None:
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while left > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        break
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _content_length(scope: Scope) -> int:
    """0 where there is none; the HTTP parser has refused what is not a number."""
    return int(Headers(scope=scope).get("content-length", "0"))
