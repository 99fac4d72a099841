"""Every answer says who gave it: X-ASR-Version, X-ASR-Digest, X-ASR-Node, X-Request-ID."""

from __future__ import annotations

import re
import uuid
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_node.log import REQUEST_ID
from asr_node.node import Node

REQUEST_ID_SHAPE: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
SIGNED: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


class Identity:
    """Outermost, so that refusals and failures carry the headers too, and that whatever is
    logged meanwhile carries the request's id.

    While the node drains, each answer also closes its connection: clients then leave by
    themselves, before the listening socket does."""

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id")
        taken = given is not None and REQUEST_ID_SHAPE.fullmatch(given) is not None
        request_id = given if given is not None and taken else uuid.uuid4().hex
        scope.setdefault("state", {}).update(request_id=request_id, request_id_given=taken)

        async def send_signed(message: Message) -> None:
            if message["type"] in SIGNED:
                message["headers"] = [*message.get("headers", []), *self._headers(request_id)]
                if self._node.draining and message["type"] == "http.response.start":
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        logged_as = REQUEST_ID.set(request_id)
        try:
            await self._app(scope, receive, send_signed)
        finally:
            REQUEST_ID.reset(logged_as)

    def _headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        node = self._node
        headers = {
            "x-asr-version": node.settings.version,
            "x-asr-digest": node.digest,  # unknown until the model's files have been read
            "x-asr-node": node.settings.name,
            "x-request-id": request_id,
        }
        return [(name.encode(), value.encode()) for name, value in headers.items() if value]
