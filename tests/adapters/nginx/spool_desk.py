"""The controller's part where no node can serve, and an nginx whose nodes are dead."""

from __future__ import annotations

import datetime
from contextlib import AsyncExitStack
from pathlib import Path

from router_bench import Bench

from controller.adapters.api_keys import NO_KEYS
from controller.adapters.spool_folder import SpoolFolder
from controller.adapters.spool_sender import SpoolSender
from controller.api.spool import spool_app
from controller.api.spool_server import serving
from controller.core.routing import Routing
from controller.core.spool import SpoolLimits

PATH = "/v1/audio/transcriptions"
ASYNC = {"Prefer": "respond-async"}
TO_V1 = Routing("v1")


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Desk:
    """The controller's part: it may die and come back."""

    def __init__(self, path: Path, socket: Path) -> None:
        self.path, self.socket = path, socket
        self.limits, self.keys = SpoolLimits(), NO_KEYS
        self.folder = SpoolFolder(path, self.limits, utc_now)
        self._running = AsyncExitStack()

    async def open(self) -> None:
        self.folder = SpoolFolder(self.path, self.limits, utc_now)
        self.folder.open()
        app = spool_app(self.folder, self.keys)
        await self._running.enter_async_context(serving(app, self.socket))

    async def close(self) -> None:
        await self._running.aclose()

    async def transcribe(self, bench: Bench, node: str) -> None:
        """As the keeper has it done: all that waits."""
        for entry in self.folder.waiting():
            address = bench.node(node).endpoint.address
            answer = await SpoolSender().ask(address, entry, self.folder.body(entry))
            self.folder.answer(entry, answer)


async def start_dead(bench: Bench, **groups: int) -> None:
    """nginx knows nodes, and none of them takes a connection any more."""
    await bench.router.start(bench.membership(**groups), TO_V1)
    for node in bench.nodes.values():
        node.die()
