"""An nginx that answers its clients and not its controller is replaced, and the door stays open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler

import httpx
import psutil
import pytest
from router_bench import Bench, master, nginx_of, stopped_at_the_end

from controller.adapters import routing_switch
from controller.adapters.nginx import running
from controller.adapters.nginx.held_port import HeldPort
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings
from controller.core.routing import Routing


@pytest.fixture
def held(settings: RouterSettings) -> HeldPort:
    return HeldPort(settings.host, settings.port)


@pytest.fixture
def new_router(settings: RouterSettings, held: HeldPort) -> Callable[[], NginxRouter]:
    """A controller that holds the port, as one does that started nginx."""
    return lambda: NginxRouter(settings, ProcessLauncher(settings.run_dir, held=held))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_LOAD_SECONDS", 2.0)


class Slow:
    """Its requests wait until they are let go."""

    def __init__(self) -> None:
        self._may_end = threading.Event()

    def __call__(self, _request: BaseHTTPRequestHandler) -> bool:
        self._may_end.wait(60)
        return False

    def let_go(self) -> None:
        self._may_end.set()


def at_once(_request: BaseHTTPRequestHandler) -> bool:
    return False


@asynccontextmanager
async def a_client_that_comes_all_the_time(bench: Bench) -> AsyncIterator[list[str]]:
    """Each time by a connection of its own; what it got."""
    got: list[str] = []
    ended = asyncio.Event()

    async def come() -> None:
        while not ended.is_set():
            async with httpx.AsyncClient(base_url=bench.settings.url, timeout=30) as client:
                try:
                    got.append(str((await client.get("/v1/models")).status_code))
                except httpx.HTTPError as error:
                    got.append(repr(error))

    coming = asyncio.create_task(come())
    try:
        yield got
    finally:
        ended.set()
        await coming


async def test_the_other_one_serves_while_requests_of_the_first_still_end(
    bench: Bench, impatient: None
) -> None:
    await bench.router.start(bench.membership(v1=2), Routing("v1"))
    first = psutil.Process(master(bench.settings.run_dir))
    slow = Slow()
    bench.node("v1-1").behave = bench.node("v1-2").behave = slow
    asked = asyncio.create_task(bench.client.post("/v1/x", content=b"x"))
    while not [n for n in bench.nodes.values() if n.requests]:
        await asyncio.sleep(0.01)
    for node in bench.nodes.values():
        node.behave = at_once
    routing_switch.control_socket(bench.settings.run_dir).unlink()
    async with a_client_that_comes_all_the_time(bench) as got:
        await bench.router.load(bench.membership(v1=2), Routing("v1"))
        assert first.is_running()  # the request is still with it
        assert master(bench.settings.run_dir) != first.pid
        assert await bench.router.check()
    assert set(got) == {"200"}
    assert bench.router.state().restarts == 0  # of those that nobody asked for
    slow.let_go()
    assert (await asked).status_code == 200
    await bench.client.aclose()
    await asyncio.to_thread(first.wait, 60)
    assert await bench.router.check()
    assert first.pid not in nginx_of(bench.settings.run_dir)


async def test_a_controller_that_did_not_start_it_replaces_it_beside_its_requests_too(
    bench: Bench, held: HeldPort, impatient: None
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    first = psutil.Process(master(bench.settings.run_dir))
    slow = Slow()
    bench.node("v1-1").behave = slow
    asked = asyncio.create_task(bench.client.post("/v1/x", content=b"x"))
    while not bench.node("v1-1").requests:
        await asyncio.sleep(0.01)
    bench.node("v1-1").behave = at_once
    routing_switch.control_socket(bench.settings.run_dir).unlink()
    held.close()  # as the end of the controller before does
    async with stopped_at_the_end(ProcessLauncher(bench.settings.run_dir)) as launcher:
        later = NginxRouter(bench.settings, launcher)
        await later.load(bench.membership(v1=1), Routing("v1"))
        assert first.is_running()
        assert await bench.node_of() == "v1-1"
        slow.let_go()
        assert (await asked).status_code == 200
        await bench.client.aclose()


async def test_one_that_leaves_ends_with_the_router(bench: Bench, impatient: None) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    slow = Slow()
    bench.node("v1-1").behave = slow
    asked = asyncio.create_task(bench.client.post("/v1/x", content=b"x"))
    while not bench.node("v1-1").requests:
        await asyncio.sleep(0.01)
    routing_switch.control_socket(bench.settings.run_dir).unlink()
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    asked.cancel()
    await bench.client.aclose()
    await bench.router.stop()
    slow.let_go()
    assert nginx_of(bench.settings.run_dir) == []
