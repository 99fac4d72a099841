from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
LIMIT = 200_000
OVERHEAD = 2_000  # the multipart frame


@pytest.fixture
async def limited(start: Callable) -> AsyncIterator:
    async with start(max_body_bytes=LIMIT) as running:
        await running.until_ready()
        yield running


async def test_a_body_within_the_limit_is_transcribed(limited) -> None:
    clip = encoded(tone((LIMIT - OVERHEAD) / 32_000))
    answer = await limited.client.post(PATH, files={"file": ("a.wav", clip)})
    assert answer.status_code == 200


async def test_a_long_content_length_is_refused_before_a_byte_is_read(limited) -> None:
    """The client announces a gigabyte, sends none of it, and has its answer."""
    reader, writer = await limited.connect()
    writer.write(
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"x-asr-node: n1" in head
    body = json.loads(await reader.readuntil(b"}}"))
    assert body["error"]["code"] == "body_too_large"
    writer.close()
    await writer.wait_closed()


async def test_an_endless_chunked_body_is_cut_off(limited) -> None:
    """It would never end: an answer and a closed connection prove that the node stopped."""
    reader, writer = await limited.connect()
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    writer.write(
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n%x\r\n%s\r\n" % (len(part), part)
    )

    async def send_for_ever() -> int:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
                await writer.drain()
                sent += 65_536
        return sent

    sending = asyncio.create_task(send_for_ever())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head
    assert b"x-asr-version: v1" in head
    assert json.loads(await reader.readuntil(b"}}"))["error"]["code"] == "body_too_large"
    assert await sending < 100_000_000
    assert limited.engine.recognizer.heard == []
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_the_node_serves_on_after_a_refusal(limited) -> None:
    for _ in range(3):
        answer = await limited.client.post(PATH, files={"file": ("a.wav", bytes(2 * LIMIT))})
        assert answer.status_code == 413
    async with httpx.AsyncClient(base_url=limited.url) as client:
        answer = await client.post(PATH, files={"file": ("a.wav", encoded(tone(0.5)))})
    assert answer.status_code == 200
    await limited.until(lambda: limited.node.in_flight == 0)
