"""People who speak while a fault happens: WebSockets that stay open and send audio."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import Any, Final, Self

import websockets

_SILENCE: Final = bytes(16_000)  # half a second of 16 kHz, 16 bits
_BEGIN: Final = {
    "mode": "2pass", "wav_name": "stream", "audio_fs": 16_000, "chunk_size": [5, 10, 5],
    "is_speaking": True,
}  # fmt: skip


class Streams:
    """`with Streams(url, 4) as streams: …; streams.cut` counts those that did not end by their
    own word. A cut one is not opened anew: a client's own reconnecting is not ours to show."""

    def __init__(self, router_url: str, count: int) -> None:
        self._url = router_url.replace("http://", "ws://") + "/"
        self._count = count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="streams")
        self._stopped = asyncio.Event()
        self.opened = 0
        self.cut = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._all())

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._speak())
            await self._stopped.wait()  # also where all are cut

    async def _speak(self) -> None:
        try:
            async with websockets.connect(
                self._url, subprotocols=[websockets.Subprotocol("binary")], proxy=None
            ) as socket:
                await socket.send(json.dumps(_BEGIN))
                self.opened += 1
                hearing = asyncio.create_task(_hear(socket))
                try:
                    await self._send_audio(socket)
                finally:
                    hearing.cancel()
        except (websockets.WebSocketException, OSError):
            self.cut += 1

    async def _send_audio(self, socket: Any) -> None:
        while not self._stopped.is_set():
            await socket.send(_SILENCE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._stopped.wait()


async def _hear(socket: Any) -> None:
    """Results are of no matter here; unread they would fill the socket."""
    with contextlib.suppress(websockets.WebSocketException):
        async for _ in socket:
            pass
