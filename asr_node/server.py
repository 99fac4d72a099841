"""uvicorn, with a node's way to start and to leave."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
from types import FrameType
from typing import Final

import uvicorn

from asr_node.app import create_app
from asr_node.batches.batches import Batches
from asr_node.connections import impatient
from asr_node.decoding.decoders import Decoders
from asr_node.history.audio_folder import FOLDER as AUDIO
from asr_node.history.audio_folder import AudioFolder
from asr_node.history.history import History
from asr_node.history.upkeep import Upkeep
from asr_node.log import event
from asr_node.node import Node
from asr_node.protocols.shadows import Shadows
from asr_node.settings import Settings
from asr_node.transcriber import Transcriber
from asr_node.websocket.streams import Streams

# nginx keeps upstream connections for 60 s: whoever closes first must not be the node.
KEEP_ALIVE_SECONDS: Final = 90
LINGER_SECONDS: Final = 1  # still answering, already not ready: clients and probes notice
FAILED_SECONDS: Final = 2.0  # /readyz shows why the model could not be loaded
# Threads that read files or write the history hold Python's global lock for so long at a time, a
# tenth of Python's own choice: the event loop needs it back several times for each answer.
SWITCH_SECONDS: Final = 0.0005
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024  # of a WebSocket; more is closed with 1009
PING_SECONDS: Final = 20.0  # nginx closes what is silent for a minute, waiting clients too


class NodeServer(uvicorn.Server):
    """Listens first, loads then; SIGTERM drains, and the exit status is 0."""

    def __init__(self, node: Node) -> None:
        self.exit_status = 0
        self._node = node
        self._decoders = Decoders()
        self._leave_at: float | None = None
        self._cut_off_at = 0.0  # the end of the grace period, almost
        self._loading: asyncio.Task[None] | None = None
        self.history = History(node.settings)
        audio = _audio_folder(node.settings)
        transcriber = Transcriber(node, self._decoders, self.history, audio)
        self.batches = Batches(node, transcriber, self.history)
        self.shadows = Shadows(node, transcriber)
        self.streams = Streams(transcriber)
        self.upkeep = Upkeep(node.settings, self.history, audio, [self.batches.expire])
        super().__init__(
            uvicorn.Config(
                create_app(
                    node, transcriber, self.history, self.batches, self.shadows, self.streams
                ),
                http=impatient(node.settings.idle_timeout_seconds),
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=None,  # a pong waits behind audio that waits for the model
                ws_per_message_deflate=False,  # sound does not get smaller
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, node.settings.grace_seconds - LINGER_SECONDS),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or []:
            host, port = listening.getsockname()[:2]
            event("node.listening", host=host, port=port, pid=os.getpid())
        self._decoders.start()
        self.history.open()
        self.batches.start()
        self.upkeep.start()
        self._loading = asyncio.create_task(self._load())

    async def on_tick(self, counter: int) -> bool:
        if self._leave_at is not None:
            self.streams.drain()
            self.should_exit = self.should_exit or self._may_leave(time.monotonic())
        return await super().on_tick(counter)

    def _may_leave(self, now: float) -> bool:
        """uvicorn cuts streams off; these first say what they have heard."""
        assert self._leave_at is not None
        return now >= self._leave_at and (not self.streams or now >= self._cut_off_at)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        event("node.stopping", in_flight=self._node.in_flight)
        if self._leave_at is not None:  # streams have had a part of the grace period
            left = self._cut_off_at - time.monotonic()
            self.config.timeout_graceful_shutdown = max(1, round(left))
        await super().shutdown(sockets)
        await self.shadows.stop()
        await self.batches.stop()
        await self.upkeep.stop()
        await asyncio.to_thread(self.history.close)
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})
        await self._node.close()
        await self._decoders.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. Second: leave once in-flight requests end. Third: at once.

        uvicorn would raise the signal again at the end; then the status would not be 0."""
        if self._leave_at is None:
            self._node.drain()
            self._leave_at = time.monotonic() + LINGER_SECONDS
            self._cut_off_at = time.monotonic() + self._node.settings.grace_seconds - 1
        elif not self.should_exit:
            self.should_exit = True
        else:
            self.force_exit = True

    async def _load(self) -> None:
        try:
            await self._node.start()
        except Exception:  # the node has logged it
            await asyncio.sleep(FAILED_SECONDS)
            self.exit_status = 1
            self.should_exit = True


def _audio_folder(settings: Settings) -> AudioFolder | None:
    if not (settings.keep_audio or settings.keep_copies):
        return None
    return AudioFolder(settings.data_dir / AUDIO, settings.keep_audio_quota_mb * 1024 * 1024)


def serve(node: Node, listening: socket.socket) -> int:
    """Blocks until the node has left. Returns the exit status."""
    server = NodeServer(node)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # modules stay: walking them all would stop the event loop for tens of ms
    server.run(sockets=[listening])
    event("node.stopped", in_flight=node.in_flight, status=server.exit_status)
    return server.exit_status


def leave(status: int) -> None:
    """End the process even if a thread is still inside FunASR: Python would wait for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
