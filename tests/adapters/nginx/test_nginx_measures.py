"""What the access log says of each answer, and whose measures these are."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from router_bench import Bench

from controller.adapters.nginx.router_log import RouterLog
from controller.core.routing import Routing
from controller.engine.records import Served

PATH = "/v1/audio/transcriptions"


@pytest.fixture
async def measured(bench: Bench) -> Bench:
    """All traffic goes to the canary; its text has 7 characters, that of stable 9."""
    await bench.router.start(bench.membership(v1=1, v2=1), Routing("v1", "v2", 100))
    for name, characters in (("v1-1", 9), ("v2-1", 7)):
        bench.node(name).headers = {
            "X-ASR-Audio-Seconds": "2.500",
            "X-ASR-Model-Seconds": "0.125",
            "X-ASR-Characters": str(characters),
        }
    return bench


async def served(bench: Bench, **headers: str) -> Served:
    """What the engine reads of the one request that is made here."""
    log = RouterLog(bench.router.access_log)
    await bench.client.post(PATH, content=b"audio", headers=headers)
    return await read(log)


async def read(log: RouterLog) -> Served:
    async with asyncio.timeout(60):
        while not (found := log.read()):
            await asyncio.sleep(0.01)
    return found[0]


async def test_the_log_has_a_nodes_own_measures(measured: Bench) -> None:
    found = await served(measured)
    assert (found.audio_seconds, found.model_seconds, found.characters) == (2.5, 0.125, 7)
    assert found.seconds is not None
    assert 0 <= found.seconds < 10
    assert found.at > 1_700_000_000
    assert not found.client_left


async def test_what_stable_measured_is_not_charged_to_the_canary_that_failed(
    measured: Bench,
) -> None:
    measured.node("v2-1").status = 500
    found = await served(measured)
    assert (found.pool, found.status) == ("canary", 200)
    assert [status for _, status in found.attempts] == [500, 200]
    assert (found.audio_seconds, found.model_seconds, found.characters) == (2.5, None, None)


async def test_a_node_that_says_nothing_is_not_measured(measured: Bench) -> None:
    measured.node("v2-1").headers = {}
    found = await served(measured)
    assert (found.audio_seconds, found.model_seconds, found.characters) == (None, None, None)


async def test_a_client_cannot_say_them(measured: Bench) -> None:
    measured.node("v2-1").headers = {}
    forged = {"X-ASR-Audio-Seconds": "1", "X-ASR-Model-Seconds": "9", "X-ASR-Characters": "0"}
    found = await served(measured, **forged)
    assert (found.audio_seconds, found.model_seconds, found.characters) == (None, None, None)


async def test_a_client_that_leaves_is_nobodys_failure(measured: Bench) -> None:
    asked, left = threading.Event(), threading.Event()

    def wait(_request: BaseHTTPRequestHandler) -> bool:
        asked.set()
        return left.wait(60)

    measured.node("v2-1").behave = wait
    log = RouterLog(measured.router.access_log)
    asking = asyncio.create_task(measured.client.post(PATH, content=b"audio"))
    try:
        assert await asyncio.to_thread(asked.wait, 60)
        asking.cancel()
        found = await read(log)
    finally:
        left.set()
    assert found.client_left
    assert [status for _, status in found.attempts] == [None]
