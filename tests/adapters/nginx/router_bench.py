"""A router on a real nginx, and what tests ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
from speech_node_fakes import FakeNode

from controller.adapters.nginx.access_log import AccessLogReader, Request
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings
from controller.core.routing import Group, Membership, Routing

Launched = TypeVar("Launched", bound=ProcessLauncher)


@dataclass
class Bench:
    """A router on a real nginx, with nodes to put behind it."""

    settings: RouterSettings
    router: NginxRouter
    client: httpx.AsyncClient
    nodes: dict[str, FakeNode] = field(default_factory=dict)

    def node(self, name: str) -> FakeNode:
        if name not in self.nodes:
            self.nodes[name] = FakeNode(name)
        return self.nodes[name]

    def membership(self, **groups: int) -> Membership:
        """So many nodes of each group: v1=2 gives v1-1 and v1-2."""
        return Membership(
            tuple(
                Group(name, tuple(self.node(f"{name}-{n}").endpoint for n in range(1, count + 1)))
                for name, count in groups.items()
            )
        )

    async def node_of(self, **options: object) -> str:
        """Which node answers a GET."""
        response = await self.client.get("/v1/models", **options)  # type: ignore[arg-type]
        assert response.status_code == 200, response.text
        return str(response.headers["X-ASR-Node"])

    async def nodes_of_keys(self, keys: range) -> dict[int, str]:
        return {key: await self.node_of(headers={"X-API-Key": f"key-{key}"}) for key in keys}

    async def logged(self, request_id: str) -> Request:
        """The log line of a request; it is written after the answer."""
        async with asyncio.timeout(60):
            while True:
                reader = AccessLogReader(self.router.access_log)
                for request in reader.read():
                    if request.request_id == request_id:
                        return request
                await asyncio.sleep(0.01)

    def pids(self) -> list[int]:
        return nginx_of(self.settings.run_dir)


def nginx_of(run_dir: Path) -> list[int]:
    """Masters whose command line names `run_dir`, and their children."""
    masters = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(run_dir) in " ".join(process.info["cmdline"] or [])
    ]
    return [p.pid for master in masters for p in [master, *master.children()]]


@asynccontextmanager
async def stopped_at_the_end(launcher: Launched) -> AsyncIterator[Launched]:
    """Of a launcher that the bench does not know."""
    try:
        yield launcher
    finally:
        await asyncio.to_thread(launcher.stop, 5)


async def started(bench: Bench) -> int:
    """The pid of nginx, with v1 and v2 behind it."""
    await bench.router.start(bench.membership(v1=1, v2=1), Routing("v1"))
    return master(bench.settings.run_dir)


def master(run_dir: Path) -> int:
    return int((run_dir / "nginx.pid").read_text())
