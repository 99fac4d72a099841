"""Pacing, the client that never retries, and the numbers made of records."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.clips import Clip, Pace, light
from benchmarks.connection import Broken, Connection
from benchmarks.records import Record, percentile, share_error_points, summary

CLIPS = [Clip(f"clip-{n}", float(n), b"") for n in range(1, 9)]
ANSWER = b"HTTP/1.1 200 OK\r\nX-ASR-Version: v1\r\nContent-Length: 2\r\n\r\n{}"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(handler: Handler) -> AsyncIterator[Connection]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server, Connection(*server.sockets[0].getsockname()[:2]) as connection:
        yield connection


def choices(seed: int, client: int) -> list[tuple[str, float]]:
    pace = Pace(seed, client, CLIPS)
    clips = [pace.next_clip() for _ in range(20)]
    return [(clip.name, pace.pause(clip, 0.1)) for clip in clips]


def test_the_same_seed_paces_alike_and_each_client_differently() -> None:
    assert choices(1, 0) == choices(1, 0)
    assert choices(1, 0) != choices(1, 1)
    assert choices(1, 0) != choices(2, 0)


def test_a_client_sends_at_most_one_clip_per_clip_length() -> None:
    pace = Pace(1, 0, CLIPS)
    clip = CLIPS[4]
    pauses = [pace.pause(clip, took_seconds=2.0) for _ in range(200)]
    assert min(pauses) >= clip.seconds - 2.0
    assert max(pauses) <= clip.seconds - 2.0 + 5.0


def test_an_answer_that_took_longer_than_its_clip_is_not_made_up_for() -> None:
    assert 0.0 <= Pace(1, 0, CLIPS).pause(CLIPS[0], took_seconds=60.0) <= 5.0


async def test_a_connection_is_kept_and_chunks_are_read() -> None:
    chunked = ANSWER.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
    answers = [ANSWER, chunked.replace(b"{}", b"3\r\nabc\r\n0\r\n\r\n")]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with a_server(handle) as connection:
        first = await connection.exchange(light("router", "key"))
        assert connection.is_open()
        second = await connection.exchange(light("router", "key"))
    assert (first.body, first.headers["x-asr-version"], second.body) == (b"{}", "v1", b"abc")


async def test_a_connection_that_is_cut_while_a_request_runs_is_a_failure_not_a_retry() -> None:
    asked = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(ANSWER[:20])
        writer.close()

    async with a_server(handle) as connection:
        with pytest.raises(Broken):
            await connection.exchange(light("router", "key"))
    assert asked == 1


async def test_a_close_that_is_known_before_writing_opens_a_new_connection() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        writer.close()

    async with a_server(handle) as connection:
        await connection.exchange(light("router", "key"))
        while connection.is_open():
            await asyncio.sleep(0.001)
        assert (await connection.exchange(light("router", "key"))).status == 200


def test_the_summary_counts_every_failure_and_times_only_answers() -> None:
    records = [
        Record(0, 10.0, 10.1, 200, "v1", "v1-1"),
        Record(1, 10.0, 10.3, 200, "v2", "v2-1"),
        Record(2, 10.0, 70.0, error="no answer after 60 s"),
        Record(3, 10.0, 10.2, 502, "none", "router"),
    ]
    found = summary([Record.from_line(record.to_line()) for record in records])
    assert (found["requests"], found["failed"], found["max"]) == (4, 2, 0.3)
    assert found["versions"]["v2"]["requests"] == 1
    assert found["errors"] == {"no answer after 60 s": 1, "status 502": 1}


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([], 50) == 0.0


def test_a_share_of_nothing_is_no_share() -> None:
    assert share_error_points(520, 10_000, 5) == pytest.approx(0.2)
    assert share_error_points(0, 0, 5) == math.inf
