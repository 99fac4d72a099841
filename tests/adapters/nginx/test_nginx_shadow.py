"""Copies of stable's requests: through a real nginx, by real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest
from router_bench import Bench

from controller.core.routing import HeaderRule, Routing

PATH = "/v1/audio/transcriptions"
MIB = 1024 * 1024


def copying(percent: float, salt: str = "rollout-1") -> Routing:
    return Routing("v1", shadow="v2", shadow_percent=percent, salt=salt)


@pytest.fixture
async def shadowed(bench: Bench) -> Bench:
    await bench.router.start(bench.membership(v1=1, v2=1), copying(100))
    return bench


async def post(bench: Bench, size: int = 1000, **headers: str) -> httpx.Response:
    response = await bench.client.post(PATH, content=b"a" * size, headers=headers)
    assert response.headers["X-ASR-Node"] == "v1-1"
    return response


async def copies(bench: Bench, count: int) -> list[dict[str, Any]]:
    """Of node v2-1, once there are so many; they come after the answer."""
    async with asyncio.timeout(60):
        while len(bench.node("v2-1").requests) < count:
            await asyncio.sleep(0.01)
    return bench.node("v2-1").requests


async def test_the_copy_has_the_same_id_and_body_and_is_marked(shadowed: Bench) -> None:
    answer = await post(shadowed, 3 * MIB, **{"X-Request-ID": "call-7", "X-API-Key": "k"})
    (copy,) = await copies(shadowed, 1)
    (original,) = shadowed.node("v1-1").requests
    assert answer.json()["node"] == "v1-1"
    assert (copy["path"], copy["bytes"]) == (PATH, 3 * MIB)
    assert (copy["headers"]["X-Request-ID"], copy["headers"]["X-ASR-Shadow"]) == ("call-7", "1")
    assert copy["headers"]["X-API-Key"] == "k"
    assert original["headers"]["X-ASR-Shadow"] is None


async def test_a_client_cannot_ask_for_a_copys_treatment(shadowed: Bench) -> None:
    await shadowed.router.switch(Routing("v1"))
    await post(shadowed, **{"X-ASR-Shadow": "1"})
    assert shadowed.node("v1-1").requests[0]["headers"]["X-ASR-Shadow"] is None
    assert shadowed.node("v2-1").requests == []


async def test_the_log_has_one_line_of_stable_that_says_it_was_copied(shadowed: Bench) -> None:
    await post(shadowed, **{"X-Request-ID": "call-8"})
    await copies(shadowed, 1)
    line = await shadowed.logged("call-8")
    assert (line.pool, line.node, line.shadow, len(line.attempts)) == ("stable", "v1-1", True, 1)
    assert shadowed.router.access_log.read_text().count("call-8") == 1


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_what_asks_for_a_transcript_is_copied(shadowed: Bench, method: str) -> None:
    await shadowed.client.request(method, PATH)
    await shadowed.client.post("/v1/batches", content=b"a")
    await shadowed.client.post("/v1//audio/transcriptions", content=b"a")
    await post(shadowed, **{"X-Request-ID": "last"})
    assert [c["headers"]["X-Request-ID"] for c in await copies(shadowed, 1)] == ["last"]


async def test_long_bodies_and_those_of_unknown_length_are_not_copied(shadowed: Bench) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"

    await post(shadowed, 16 * MIB + 1)
    assert (await shadowed.client.post(PATH, content=chunks())).status_code == 200
    await post(shadowed, 16 * MIB)
    assert [copy["bytes"] for copy in await copies(shadowed, 1)] == [16 * MIB]


async def test_a_share_of_the_requests_is_copied_also_of_one_user(shadowed: Bench) -> None:
    await shadowed.router.switch(copying(20))
    for number in range(500):
        await post(shadowed, **{"X-API-Key": "one", "X-Request-ID": f"r{number}"})
    await shadowed.router.switch(copying(100))
    await post(shadowed, **{"X-Request-ID": "end"})
    async with asyncio.timeout(60):
        while shadowed.node("v2-1").requests[-1]["headers"]["X-Request-ID"] != "end":
            await asyncio.sleep(0.01)
    assert len(shadowed.node("v2-1").requests) - 1 == pytest.approx(100, abs=35)


async def test_what_the_canary_had_itself_is_not_copied_to_it(shadowed: Bench) -> None:
    """Also where it failed and stable rescued it."""
    rule = HeaderRule("X-Try", "1", "canary")
    both = Routing("v1", "v2", 0, "r", (rule,), shadow="v2", shadow_percent=100)
    await shadowed.router.switch(both)
    shadowed.node("v2-1").status = 500
    await post(shadowed, **{"X-Try": "1", "X-Request-ID": "tried"})
    await post(shadowed, **{"X-Request-ID": "other"})
    seen = [(c["headers"]["X-Request-ID"], c["headers"]["X-ASR-Shadow"])
            for c in await copies(shadowed, 2)]  # fmt: skip
    assert seen == [("tried", None), ("other", "1")]


async def test_a_broken_shadow_changes_no_answer_and_no_pool(shadowed: Bench) -> None:
    shadowed.node("v2-1").status = 500
    for number in range(10):
        assert (await post(shadowed)).status_code == 200
        await copies(shadowed, number + 1)
    shadowed.node("v2-1").die()
    assert [(await post(shadowed)).status_code for _ in range(10)] == [200] * 10
    log = shadowed.router.access_log.read_text()
    assert '"pool":"canary"' not in log
    assert '"status":"5' not in log


async def test_a_switch_ends_the_copies_at_once(shadowed: Bench) -> None:
    await post(shadowed)
    await copies(shadowed, 1)
    await shadowed.router.switch(Routing("v1"))
    for _ in range(5):
        await post(shadowed)
    await shadowed.router.switch(copying(100))
    await post(shadowed, **{"X-Request-ID": "again"})
    assert (await copies(shadowed, 2))[-1]["headers"]["X-Request-ID"] == "again"


async def test_a_frozen_shadow_keeps_no_kept_connection_waiting(shadowed: Bench) -> None:
    """A mirror of nginx does: the next request on the connection waits until it is answered."""
    thawed = threading.Event()

    def frozen(_request: BaseHTTPRequestHandler) -> bool:
        return not thawed.wait(100)

    shadowed.node("v2-1").behave = frozen
    one = httpx.Limits(max_connections=1)
    address = shadowed.settings.url
    try:
        async with httpx.AsyncClient(base_url=address, limits=one, timeout=30) as client:
            for _ in range(200):
                assert (await client.post(PATH, content=b"a" * 50_000)).status_code == 200
            assert not thawed.is_set()
            assert await copies(shadowed, 1)
    finally:
        thawed.set()
