"""Every answer says who gave it: X-ASR-Version, X-ASR-Node, X-Request-ID."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_node.node import Node

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Identity:
    """Outermost, so that refusals and failures carry the headers too.

    While the node drains, each answer also closes its connection: clients then leave by
    themselves, before the listening socket does."""

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers(request_id)]
            await send(message)

        await self._app(scope, receive, send_signed)

    def _headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        settings = self._node.settings
        headers = [
            (b"x-asr-version", settings.version.encode()),
            (b"x-asr-node", settings.name.encode()),
            (b"x-request-id", request_id.encode()),
        ]
        return [*headers, (b"connection", b"close")] if self._node.draining else headers


def _request_id(given: str | None) -> str:
    return given if given is not None and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
