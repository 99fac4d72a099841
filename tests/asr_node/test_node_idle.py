"""Clients that stop in the middle hold nothing for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import websockets

from tests.asr_node.node_fakes import FakeEngine, encoded, tone

HEAD = (
    b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
)
IDLE_SECONDS = 1.0
PATIENT = 60.0  # of the tests: for a fact that must come, however slow the machine


@pytest.fixture
async def impatient(start: Callable) -> AsyncIterator:
    async with start(idle_timeout_seconds=IDLE_SECONDS) as running:
        await running.until_ready()
        yield running


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENT):
        return await reader.read()


async def test_a_body_that_stops_is_answered_408_and_frees_its_place(impatient) -> None:
    reader, writer = await impatient.connect()
    writer.write(HEAD + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
    await impatient.until(lambda: impatient.node.in_flight == 1)
    answer = await until_closed(reader)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert b"x-asr-node: n1" in head
    assert b"idle_timeout" in body
    await impatient.until(lambda: impatient.node.in_flight == 0)
    writer.close()


async def test_a_slow_body_that_goes_on_is_no_silent_one(start: Callable) -> None:
    async with start(idle_timeout_seconds=5.0) as running:
        await running.until_ready()
        part = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            + encoded(tone(0.1))
            + b"\r\n--b--\r\n"
        )
        reader, writer = await running.connect()
        writer.write(HEAD.replace(b"100000", str(len(part)).encode()))
        for start_at in range(0, len(part), 400):
            writer.write(part[start_at : start_at + 400])
            await writer.drain()
            await asyncio.sleep(0.02)
        async with asyncio.timeout(PATIENT):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nX-Slow: "])
async def test_half_a_head_is_not_waited_for(impatient, said: bytes) -> None:
    reader, writer = await impatient.connect()
    writer.write(said)
    assert await until_closed(reader) == b""
    writer.close()


async def test_long_work_is_no_silence(start: Callable, engine: FakeEngine) -> None:
    """The client has sent everything and waits: the longest pause is the node's own."""
    async with start(idle_timeout_seconds=IDLE_SECONDS) as running:
        await running.until_ready()
        engine.recognizer.gate.clear()
        files = {"file": ("a.wav", encoded(tone(1.0)))}
        pending = asyncio.create_task(running.client.post("/v1/audio/transcriptions", files=files))
        await running.until(engine.recognizer.running.is_set)
        await asyncio.sleep(3 * IDLE_SECONDS)
        assert not pending.done()
        engine.recognizer.gate.set()
        assert (await pending).status_code == 200


async def test_a_kept_connection_may_rest_between_requests(impatient) -> None:
    """uvicorn's own patience holds there, which is longer than the router's."""
    reader, writer = await impatient.connect()
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENT):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert json.loads(await reader.readuntil(b"}")) == {"status": "alive"}
        await asyncio.sleep(2 * IDLE_SECONDS)
    writer.close()


async def test_a_silent_websocket_is_closed_in_words_and_not_cut(impatient) -> None:
    """Its head has come: what follows is watched by the stream itself."""
    async with websockets.connect(f"ws://127.0.0.1:{impatient.port}/") as opened:
        async with asyncio.timeout(PATIENT):
            await opened.wait_closed()
        assert opened.close_code == 1008
