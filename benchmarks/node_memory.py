"""How a node's resident memory grows over many mixed requests."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.clips import form, upload
from benchmarks.connection import Broken, Connection
from benchmarks.recordings import Upload
from benchmarks.speech_servers import SpeechServer

_TIMEOUT_SECONDS = 300.0


@dataclass(slots=True)
class Curve:
    """`points`: requests since the warm-up, bytes of the front process, bytes of its workers."""

    points: list[tuple[int, int, int]] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def growth_percent(self) -> float:
        """From the end of the warm-up to the end."""
        first, last = (sum(self.points[at][1:]) for at in (0, -1))
        return 100 * (last - first) / first


async def measure(
    server: SpeechServer, uploads: Iterator[Upload], warm_up: int, requests: int, clients: int
) -> Curve:
    """Samples at rest, ten times over."""
    curve = Curve()
    await _send(server.url, uploads, warm_up, clients, curve)
    curve.points.append((0, *server.resident_bytes()))
    step = max(1, requests // 10)
    for done in range(step, requests + 1, step):
        await _send(server.url, uploads, step, clients, curve)
        curve.points.append((done, *server.resident_bytes()))
    return curve


async def _send(
    url: str, uploads: Iterator[Upload], count: int, clients: int, curve: Curve
) -> None:
    waiting = iter([next(uploads) for _ in range(count)])
    address = urllib.parse.urlsplit(url)

    async def client() -> None:
        async with Connection(address.hostname or "", address.port or 80) as connection:
            for each in waiting:
                problem = await _exchange(connection, address.netloc, each)
                if problem:
                    curve.wrong[problem] += 1

    await asyncio.gather(*(client() for _ in range(clients)))


async def _exchange(connection: Connection, host: str, sent: Upload) -> str:
    """What was wrong with the answer; empty where it is what the upload deserves."""
    request = upload(host, "memory", form(sent.name, sent.data))
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            status = (await connection.exchange(request)).status
    except (Broken, OSError, TimeoutError) as error:
        return f"{sent.name.split('-')[0]}: {error or type(error).__name__}"
    expected = 200 if sent.is_audio else 400
    return "" if status == expected else f"{sent.name}: {status} instead of {expected}"
