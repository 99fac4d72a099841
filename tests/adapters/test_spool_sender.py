"""What is made of a node's answers, and of none."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from controller.adapters.spool_sender import SpoolSender, node_request_id
from controller.core.errors import NodeUnavailable, NoTranscript
from controller.core.spool import Asked, LateAnswer, SpoolEntry

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
BODY = b"0123456789" * 300_000
ENTRY = SpoolEntry(
    "a name that nobody guesses", 1, NOON, Asked("/v1/audio/transcriptions?a=b", "x/y"), len(BODY)
)


class Node:
    """Reads one request and says what it is told to; nothing: it closes the connection."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.address = ""
        self.head = b""
        self.body = b""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Node]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.address = "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = await reader.readuntil(b"\r\n\r\n")
        self.body = await reader.readexactly(len(BODY))
        writer.write(self.says)
        writer.close()


def answer(status: int, body: str = "", headers: str = "") -> bytes:
    content = body.encode()
    return (
        f"HTTP/1.1 {status} x\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content
    )


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


async def test_the_request_is_repeated_as_it_was_with_the_controllers_key(body: Path) -> None:
    headers = "Content-Type: text/vtt\r\nX-ASR-Node: v1-1\r\nX-ASR-Version: v1\r\n"
    async with Node(answer(200, "WEBVTT", headers)).running() as node:
        late = await SpoolSender(lambda: "the controller's").ask(node.address, ENTRY, body)
    assert late == LateAnswer(200, "text/vtt", b"WEBVTT", "v1-1", "v1")
    assert node.body == BODY
    lines = node.head.decode().split("\r\n")
    assert lines[0] == "POST /v1/audio/transcriptions?a=b HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert sent["content-type"] == "x/y"
    assert sent["authorization"] == "Bearer the controller's"
    assert sent["x-request-id"] == node_request_id(ENTRY)


async def test_a_header_is_repeated_as_it_came_even_where_it_is_no_ascii(body: Path) -> None:
    asked = dataclasses.replace(ENTRY.asked, content_type="multipart/form-data; boundary=\xe9")
    async with Node(answer(200)).running() as node:
        await SpoolSender().ask(node.address, dataclasses.replace(ENTRY, asked=asked), body)
    assert b"boundary=\xe9\r\n" in node.head


def test_a_node_learns_no_name_that_lets_it_read_the_result() -> None:
    assert ENTRY.id not in node_request_id(ENTRY)
    assert node_request_id(ENTRY) == node_request_id(ENTRY)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refusal_of_the_request_is_its_answer(body: Path, status: int) -> None:
    async with Node(answer(status, "{}")).running() as node:
        assert (await SpoolSender().ask(node.address, ENTRY, body)).status == status


@pytest.mark.parametrize("status", [401, 403, 408, 429, 502, 503, 504])
async def test_a_node_that_has_no_time_says_nothing_of_the_request(body: Path, status: int) -> None:
    async with Node(answer(status)).running() as node:
        with pytest.raises(NodeUnavailable) as unavailable:
            await SpoolSender().ask(node.address, ENTRY, body)
    assert not isinstance(unavailable.value, NoTranscript)


@pytest.mark.parametrize("says", [answer(500), b""])
async def test_a_node_that_breaks_on_it_has_failed(body: Path, says: bytes) -> None:
    async with Node(says).running() as node:
        with pytest.raises(NoTranscript):
            await SpoolSender().ask(node.address, ENTRY, body)


async def test_a_node_that_is_not_there_was_not_asked(body: Path) -> None:
    with pytest.raises(NodeUnavailable) as unavailable:
        await SpoolSender().ask(f"127.0.0.1:{free_port()}", ENTRY, body)
    assert not isinstance(unavailable.value, NoTranscript)
