from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from asr_node.cli import bind
from asr_node.node import Node
from asr_node.server import NodeServer
from asr_node.settings import Settings
from tests.asr_node.node_fakes import ENGINE, FakeEngine


@dataclass
class Running:
    """A node behind a real server on a real port."""

    node: Node
    server: NodeServer
    serving: asyncio.Task[None]
    engine: FakeEngine
    client: httpx.AsyncClient
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():
                await asyncio.sleep(0.005)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def until_ready(self) -> None:
        await self.until(lambda: self.node.ready)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        model=str(tmp_path / "model"),
        engine=ENGINE,
        version="v1",
        name="n1",
        data_dir=tmp_path / "data",
        grace_seconds=10,
    )


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    """The test's end of the engine that the node's workers run."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pt").write_text("weights")
    engine = FakeEngine(folder)
    engine.loading.set()
    engine.recognizer.gate.set()
    return engine


@pytest.fixture
def start(settings: Settings, engine: FakeEngine) -> Callable[..., object]:
    @asynccontextmanager
    async def started(**changes: object) -> AsyncIterator[Running]:
        listening = bind("127.0.0.1", 0)
        port = listening.getsockname()[1]
        node = Node(replace(settings, **changes))
        server = NodeServer(node)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            try:
                yield Running(node, server, serving, engine, client, port)
            finally:
                engine.loading.set()
                engine.recognizer.gate.set()
                server.should_exit = True
                await asyncio.wait({serving})
        serving.result()

    return started


@pytest.fixture
async def running(start: Callable[..., object]) -> AsyncIterator[Running]:
    async with start() as started:  # type: ignore[attr-defined]
        await started.until_ready()
        yield started


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]
