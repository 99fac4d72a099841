"""All open streams of a node: how many, and their way out."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.responses import JSONResponse

from asr_node.errors import NotReady, RequestRefused
from asr_node.log import event
from asr_node.transcriber import Transcriber
from asr_node.websocket.stream import TRY_AGAIN_LATER, Stream, close

SUBPROTOCOL: Final = "binary"  # what FunASR's clients ask for
SPEAKING_SHARE: Final = 0.5  # of the grace period; the rest is for the last result

router = APIRouter()


class Streams:
    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._node = transcriber.node
        self._open: set[Stream] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, socket: WebSocket) -> None:
        try:
            self._check_room()
        except RequestRefused as refusal:
            await _turn_away(socket, refusal)
            return
        stream = Stream(socket, self._transcriber, socket.state.request_id)
        self._open.add(stream)
        self._node.metrics.websocket_opened()
        try:
            asked = socket.scope["subprotocols"]
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in asked else None)
            await stream.run()
        finally:
            self._open.discard(stream)
            self._node.metrics.websocket_closed()

    def drain(self) -> None:
        """Each stream closes with 1012 once its utterance is done. As often as one likes."""
        speaking = self._node.settings.grace_seconds * SPEAKING_SHARE
        for stream in tuple(self._open):
            stream.drain(asyncio.get_running_loop().time() + speaking)

    def _check_room(self) -> None:
        if not self._node.ready:
            raise NotReady(self._node.state)
        limit = self._node.settings.max_streams
        if len(self._open) >= limit:
            raise RequestRefused(
                f"{limit} streams are open already, this node's limit. Retry later.",
                status=503,
                code="too_many_streams",
                headers={"Retry-After": "1"},
            )


async def _turn_away(socket: WebSocket, refusal: RequestRefused) -> None:
    """A router passes a 503 on to another node, which the client never notices; a client on its
    own reads close codes rather than the status of a handshake."""
    event("stream.refused", code=refusal.code)
    try:
        if "x-forwarded-for" in socket.headers:
            answer = JSONResponse(refusal.body(), refusal.status, headers=refusal.headers)
            await socket.send_denial_response(answer)
            return
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        await close(socket, TRY_AGAIN_LATER, refusal.message)
    except WebSocketDisconnect:
        pass


@router.websocket("/")
@router.websocket("/ws")
async def stream(socket: WebSocket) -> None:
    await socket.app.state.streams.serve(socket)
