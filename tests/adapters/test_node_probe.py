"""What a probe makes of servers that answer well, late, wrongly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.http_answer import LARGEST_BYTES, read_answer
from controller.adapters.node_probe import NodeProbe
from controller.core.errors import NodeUnavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
)
Behaviour = Callable[["Node", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Node:
    """Does with each request what `behaviour` says."""

    behaviour: Behaviour
    address: str = ""
    heads: list[str] = field(default_factory=list)
    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await self.behaviour(self, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answers(answer: bytes) -> Behaviour:
    async def answer_it(_: Node, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return answer_it


async def closes(_: Node, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def is_silent(_: Node, __: asyncio.StreamWriter) -> None:
    return


@asynccontextmanager
async def a_node(behaviour: Behaviour) -> AsyncIterator[Node]:
    node = Node(behaviour)
    async with await asyncio.start_server(node.serve, "127.0.0.1", 0) as server:
        node.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield node
        for writer in node.connections:
            writer.close()


@pytest.fixture
async def probe() -> AsyncIterator[NodeProbe]:
    opened = NodeProbe(lambda: "secret-of-the-fleet")
    yield opened
    opened.close()
    await asyncio.sleep(0)  # until the connections know


async def test_one_connection_is_kept_and_carries_the_key(probe: NodeProbe) -> None:
    async with a_node(answers(OK)) as node:
        for _ in range(5):
            answer = await probe.get(node.address, "/healthz", 30)
            assert (answer.status, answer.body) == (200, b"{}")
        assert len(node.connections) == 1
        assert "Authorization: Bearer secret-of-the-fleet\r\n" in node.heads[-1]


async def test_a_kept_connection_that_the_node_closed_is_no_failure(probe: NodeProbe) -> None:
    async with a_node(answers(OK)) as node:
        await probe.get(node.address, "/healthz", 30)
        first = node.connections[0]

        async def once(_: Node, writer: asyncio.StreamWriter) -> None:
            writer.close() if writer is first else writer.write(OK)

        node.behaviour = once
        assert (await probe.get(node.address, "/healthz", 30)).status == 200
        assert len(node.connections) == 2


async def test_a_new_connection_that_is_closed_is_a_failure(probe: NodeProbe) -> None:
    async with a_node(closes) as node:
        with pytest.raises(NodeUnavailable, match="did not answer /healthz"):
            await probe.get(node.address, "/healthz", 30)
        assert len(node.connections) == 1


async def test_a_late_answer_is_never_that_to_the_next_question(probe: NodeProbe) -> None:
    async with a_node(is_silent) as node:
        with pytest.raises(NodeUnavailable, match="nothing within 1 s"):
            await probe.get(node.address, "/healthz", 1)
        late, node.behaviour = node.connections[0], answers(CHUNKED)
        late.write(OK)
        answer = await probe.get(node.address, "/readyz", 30)
        assert (answer.status, answer.body) == (503, b"abcde")


async def test_two_that_ask_at_once_both_get_their_answer(probe: NodeProbe) -> None:
    async with a_node(answers(OK)) as node:
        both = [probe.get(node.address, "/healthz", 30) for _ in range(2)]
        assert [answer.status for answer in await asyncio.gather(*both)] == [200, 200]


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.org ESMTP\r\n\r\n",
        b"HTTP/1.1 ok\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"x" * (LARGEST_BYTES + 1),
    ],
)
async def test_what_is_no_answer_is_a_node_that_does_not_answer(
    probe: NodeProbe, answer: bytes
) -> None:
    async with a_node(answers(answer)) as node:
        with pytest.raises(NodeUnavailable):
            await probe.get(node.address, "/readyz", 30)


@given(received=st.binary(max_size=200) | st.binary(max_size=99).map(lambda b: b"HTTP/1.1 " + b))
def test_reading_bytes_of_any_kind_ends_in_an_answer_or_a_value_error(received: bytes) -> None:
    for ended in (False, True):
        try:
            read_answer(received, ended)
        except ValueError:
            continue


@pytest.mark.parametrize("whole", [OK, CHUNKED])
def test_an_answer_is_read_whole_however_it_is_cut(whole: bytes) -> None:
    for end in range(len(whole)):
        assert read_answer(whole[:end], ended=False) is None
    assert read_answer(whole, ended=False) is not None


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    received = b"HTTP/1.0 200 OK\r\n\r\nalive"
    assert read_answer(received, ended=False) is None
    answer = read_answer(received, ended=True)
    assert answer is not None
    assert (answer.body, answer.kept) == (b"alive", False)
