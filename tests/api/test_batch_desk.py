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


KEPT: Final = {
    "id": BATCH, "node": "v1-1", "finished_time": "2026-11-22T03:00:00Z",
    "files": [{"cursor": 9, "text": "再见"}, {"cursor": 7, "text": "你好"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("address", "is_expected"), [("127.0.0.1:9", True), (None, True), (None, False)]
)
async def test_a_kept_result_is_given_whatever_its_node_does(
    results: BatchFolder, address: str | None, is_expected: bool
) -> None:
    """It hangs, or starts again and again."""
    results.keep(KEPT)
    async with desk(results, lambda _name: address, is_expected=is_expected) as router:
        for _ in range(2):
            answer = await router.get(f"/v1/batches/{BATCH}")
            assert (answer.status_code, answer.json()) == (200, KEPT)


async def test_who_deletes_a_kept_result_gets_it_a_last_time_and_then_it_is_gone_for_good(
    results: BatchFolder,
) -> None:
    results.keep(KEPT)
    async with a_node() as address, desk(results, lambda _name: address) as router:
        answer = await router.delete(f"/v1/batches/{BATCH}")
        assert (answer.status_code, answer.json()) == (200, KEPT)
        for method in ("GET", "DELETE"):
            answer = await router.request(method, f"/v1/batches/{BATCH}")
            assert answer.status_code == 404, "also while its node still has it"
    assert "你好" not in (results._path / f"{BATCH}.json").read_text()
    assert results.has(BATCH), "so that no node that has it is asked for it again"


async def test_a_result_that_the_disk_does_not_tell_is_not_said_to_be_gone(
    results: BatchFolder, tmp_path: Path
) -> None:
    (tmp_path / "batches").touch()  # whoever reads in it gets an OSError
    async with desk(results, lambda _name: None) as router:
        assert (await router.get(f"/v1/batches/{BATCH}")).status_code == 503


async def test_whoever_lost_the_node_while_listening_hears_the_rest_of_a_kept_batch(
    results: BatchFolder,
) -> None:
    results.keep(KEPT)
    path = f"/v1/batches/{BATCH}/events"
    async with desk(results, lambda _name: None) as router:
        everything = await router.get(path)
        rest = await router.get(path, headers={"Last-Event-ID": "7"})
        nothing = await router.get(path, headers={"Last-Event-ID": "done"})
    assert everything.headers["Content-Type"].startswith("text/event-stream")
    assert names(everything) == ["batch", "7", "file", "9", "file", "done", "done"]
    assert names(rest) == ["batch", "9", "file", "done", "done"]
    assert nothing.status_code == 204


def names(answer: httpx.Response) -> list[str]:
    """The ids and the names of events, in order."""
    lines = [line.partition(": ") for line in answer.text.splitlines()]
    return [value for name, _, value in lines if name in {"id", "event"}]
