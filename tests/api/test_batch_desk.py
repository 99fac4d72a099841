"""Batches of nodes that the router does not know: asked for at the controller."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from fastapi import FastAPI

from controller.adapters.api_keys import NO_KEYS
from controller.adapters.batch_folder import BatchFolder
from controller.adapters.node_http import NodeHttpClient
from controller.api.batches import BatchDesk, add_batches

BATCH: Final = "batch_v1-1_" + "0" * 32
ANSWER: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"batches": []}'


@pytest.fixture
def results(tmp_path: Path) -> BatchFolder:
    return BatchFolder(tmp_path / "batches", lambda: datetime.datetime.now(datetime.UTC))


def desk(
    results: BatchFolder, address_of: Callable[[str], str | None], *, is_expected: bool = False
) -> httpx.AsyncClient:
    app = FastAPI()
    add_batches(app, BatchDesk(NO_KEYS, results, address_of, lambda _name: is_expected))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://router")


@asynccontextmanager
async def a_node() -> AsyncIterator[str]:
    """Its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_whoever_asks_a_node_reads_no_certificates(
    results: BatchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes tens of milliseconds, in which the controller's loop would probe no node."""
    read: list[str] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_a, **_k: read.append("x"))
    async with a_node() as address, desk(results, lambda _name: address) as router:
        node = NodeHttpClient()
        read.clear()  # of the test's own client
        assert (await router.get(f"/v1/batches/{BATCH}")).status_code == 200
        assert await node.batches(address, 5.0) == []
        await node.close()
    assert read == []
