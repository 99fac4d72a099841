"""One WebSocket: what the client says, in order, until one side has had enough."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import WebSocket, WebSocketDisconnect

from asr_node.errors import StreamRefused
from asr_node.log import EVENTS, event
from asr_node.node import Node
from asr_node.transcriber import Transcriber
from asr_node.websocket.control import POLICY, Control, Setup, decode_options, read_control
from asr_node.websocket.conversation import Conversation, Ear
from asr_node.websocket.file_ear import FileEar
from asr_node.websocket.live_ear import LiveEar
from asr_node.websocket.results import Message, Results

FAILED: Final = 1011
RESTARTING: Final = 1012
TRY_AGAIN_LATER: Final = 1013
MAX_REASON: Final = 120  # bytes, of the 123 that a close frame holds


class Stream:
    """Reads the next message when the last one is dealt with: a client that sends faster than
    the model hears is slowed down by its own connection, and nothing piles up here."""

    def __init__(self, socket: WebSocket, transcriber: Transcriber, stream_id: str) -> None:
        self._socket = socket
        self._node: Node = transcriber.node
        self._results = Results(self._node, stream_id)
        self._talk = Conversation(transcriber, self._results, self._say, stream_id)
        self._setup = Setup()
        self._ear: Ear | None = None
        self._leave_by: float | None = None
        self._listening: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Ends when the connection is closed, whoever closed it."""
        event("stream.opened")
        code = 1000
        try:
            while True:
                await self._take(await self._next())
        except WebSocketDisconnect as left:
            code = left.code
        except StreamRefused as refused:
            code = refused.close_code
            await self._refuse(refused)
        except Exception:
            code = FAILED
            EVENTS.exception("stream.failed")
            failed = StreamRefused("The node failed; see its log.", code, code="node_failed")
            await self._refuse(failed)
        finally:
            await self._drop_ear()
            event("stream.closed", code=code, utterances=self._talk.utterances)

    def drain(self, leave_by: float) -> None:
        """Finish what is being said, until `leave_by` of the loop's clock, then close."""
        if self._leave_by is None:
            self._leave_by = leave_by if self._busy else 0.0
            if self._listening is not None:
                self._listening.reschedule(self._patience_ends())

    @property
    def _busy(self) -> bool:
        return self._ear is not None and self._ear.busy

    def _patience_ends(self) -> float:
        idle = asyncio.get_running_loop().time() + self._node.settings.idle_timeout_seconds
        return idle if self._leave_by is None else min(idle, self._leave_by)

    async def _next(self) -> str | bytes:
        """Raises StreamRefused when the client says nothing for too long, or the node leaves."""
        if self._leave_by is not None and not self._busy:
            raise self._farewell()
        try:
            async with asyncio.timeout_at(self._patience_ends()) as self._listening:
                message = await self._socket.receive()
        except TimeoutError:
            await self._finish()
            raise self._farewell() from None
        finally:
            self._listening = None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if self._ear is None:
                self._ear = self._new_ear()
            await self._ear.hear(message)
            return
        control = read_control(message, self._setup)
        await self._adopt(control.setup)
        if control.ends:
            await self._end(control)

    async def _adopt(self, setup: Setup) -> None:
        """Raises StreamRefused."""
        options = decode_options(setup, self._node.settings, self._node.capabilities)
        same_source = setup.source == self._setup.source
        if self._busy and not same_source:
            raise StreamRefused(
                "mode, wav_format and audio_fs cannot change within a file; say is_speaking "
                "false first.",
                POLICY,
                code="invalid_parameter",
            )
        if self._ear is not None and same_source:
            self._ear.adopt(setup, options)
        else:
            await self._drop_ear()
        self._setup = setup

    def _new_ear(self) -> Ear:
        options = decode_options(self._setup, self._node.settings, self._node.capabilities)
        kind = FileEar if self._setup.whole else LiveEar
        return kind(self._talk, self._setup, options)

    async def _end(self, control: Control) -> None:
        if self._ear is None:
            self._ear = self._new_ear()  # which has heard nothing, and says so
        await self._ear.finish()
        failure = self._ear.failure
        await self._drop_ear()
        if control.wants_acknowledgement:
            await self._say(self._results.acknowledgement(self._setup, failure))

    async def _finish(self) -> None:
        """Speech that is cut off is still speech; half a file is no file."""
        if isinstance(self._ear, LiveEar) and self._ear.busy:
            await self._ear.finish()

    async def _drop_ear(self) -> None:
        if self._ear is not None:
            await self._ear.close()
            self._ear = None

    def _farewell(self) -> StreamRefused:
        if self._leave_by is not None:
            return StreamRefused(
                "This node stops; connect again.", RESTARTING, code="node_stopping"
            )
        seconds = self._node.settings.idle_timeout_seconds
        return StreamRefused(f"Nothing came for {seconds:g} seconds.", POLICY, code="idle_timeout")

    async def _say(self, message: Message) -> None:
        """Raises WebSocketDisconnect, also for a client that does not read."""
        try:
            async with asyncio.timeout(self._node.settings.idle_timeout_seconds):
                await self._socket.send_json(message)
        except TimeoutError as error:
            raise WebSocketDisconnect(1006, "the client does not read") from error

    async def _refuse(self, refused: StreamRefused) -> None:
        try:
            await self._say(self._results.failure(self._setup, refused, is_final=True))
            await close(self._socket, refused.close_code, refused.message)
        except WebSocketDisconnect:
            pass  # it has gone already


async def close(socket: WebSocket, code: int, reason: str) -> None:
    await socket.close(code, reason.encode()[:MAX_REASON].decode(errors="ignore"))
