"""Asks one path again and again at a fixed beat, and notes how long each answer took."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.connection import Broken, Connection


@dataclass(slots=True)
class Answers:
    """`seconds` from the beat to the answer, so that a server that stands still is charged for
    all the probes that it kept waiting."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0


@asynccontextmanager
async def probing(url: str, path: str, interval_seconds: float) -> AsyncIterator[Answers]:
    """While the block runs. Every probe is answered or has failed when it ends."""
    answers, idle = Answers(), list[Connection]()
    beating = asyncio.create_task(_beat(url, path, interval_seconds, answers, idle))
    try:
        yield answers
    finally:
        beating.cancel()
        await asyncio.wait({beating})
        for connection in idle:
            connection.close()


async def _beat(
    url: str, path: str, interval: float, answers: Answers, idle: list[Connection]
) -> None:
    address = urllib.parse.urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    due = time.perf_counter()
    async with asyncio.TaskGroup() as probes:
        try:
            while True:
                new = Connection(address.hostname or "127.0.0.1", address.port or 80)
                connection = idle.pop() if idle else new
                probes.create_task(_probe(connection, request, due, answers, idle))
                due += interval
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
        except asyncio.CancelledError:
            return  # the group waits for the probes that are on their way


async def _probe(
    connection: Connection, request: bytes, due: float, answers: Answers, idle: list[Connection]
) -> None:
    try:
        async with asyncio.timeout(30):
            answer = await connection.exchange(request)
        answers.failed += answer.status != 200
    except (Broken, OSError, TimeoutError):
        answers.failed += 1
    answers.seconds.append(time.perf_counter() - due)
    idle.append(connection)
