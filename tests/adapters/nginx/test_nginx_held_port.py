"""Clients who come while a killed nginx is started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from router_bench import Bench, nginx_of

from controller.adapters.nginx.held_port import HeldPort
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import ReloadRejected, RouterUnavailable
from controller.core.routing import Routing


@pytest.fixture
def held(settings: RouterSettings) -> HeldPort:
    return HeldPort(settings.host, settings.port)


@pytest.fixture
def launcher(settings: RouterSettings, held: HeldPort) -> ProcessLauncher:
    return ProcessLauncher(settings.run_dir, held=held)


@pytest.fixture
async def bench(settings: RouterSettings, launcher: ProcessLauncher) -> AsyncIterator[Bench]:
    async with httpx.AsyncClient(base_url=settings.url, timeout=30) as client:
        it = Bench(settings, NginxRouter(settings, launcher), client)
        try:
            await it.router.start(it.membership(v1=1), Routing("v1"))
            yield it
        finally:
            await it.router.stop()
            for node in it.nodes.values():
                node.die()


def kill(run_dir: Path) -> None:
    for pid in nginx_of(run_dir):
        os.kill(pid, signal.SIGKILL)
    while nginx_of(run_dir):
        time.sleep(0.01)


def is_refused(settings: RouterSettings) -> bool:
    with socket.socket() as client:
        return client.connect_ex((settings.host, settings.port)) != 0


async def until_refused(settings: RouterSettings) -> None:
    """Killed ones may still be closing their copies of the socket."""
    async with asyncio.timeout(60):
        while not is_refused(settings):
            await asyncio.sleep(0.01)


async def test_who_comes_while_it_is_away_waits_and_is_answered(
    bench: Bench, launcher: ProcessLauncher
) -> None:
    await asyncio.to_thread(kill, bench.settings.run_dir)
    with socket.create_connection((bench.settings.host, bench.settings.port), 30) as early:
        early.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asyncio.to_thread(launcher.start)
        answer = await asyncio.to_thread(early.recv, 4096)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_it_takes_new_configurations_as_before(bench: Bench) -> None:
    await bench.router.load(bench.membership(v1=1, v2=1), Routing("v2"))
    assert await bench.node_of() == "v2-1"


async def test_a_router_that_is_stopped_refuses(bench: Bench) -> None:
    await bench.router.stop()
    assert is_refused(bench.settings)


async def test_nobody_waits_for_an_nginx_that_does_not_start(
    bench: Bench, launcher: ProcessLauncher
) -> None:
    await asyncio.to_thread(kill, bench.settings.run_dir)
    (bench.settings.run_dir / "nginx.conf").write_text("nonsense;")
    with pytest.raises(RouterUnavailable):
        await asyncio.to_thread(launcher.start)
    await until_refused(bench.settings)


@pytest.mark.parametrize("objection", ["a word it does not know", RouterUnavailable("no nginx")])
async def test_nobody_waits_for_an_nginx_that_takes_no_configuration(
    bench: Bench,
    launcher: ProcessLauncher,
    objection: str | Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await asyncio.to_thread(kill, bench.settings.run_dir)
    with monkeypatch.context() as while_it_objects:
        while_it_objects.setattr(launcher, "test", Mock(side_effect=[objection] * 9))
        with pytest.raises((ReloadRejected, RouterUnavailable)):
            await bench.router.load(bench.membership(v1=1), Routing("v1"))
    await until_refused(bench.settings)
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert await bench.node_of() == "v1-1"


async def test_a_port_that_somebody_else_has_is_said_as_before(
    settings: RouterSettings, launcher: ProcessLauncher
) -> None:
    settings.run_dir.mkdir(parents=True)
    with socket.create_server((settings.host, settings.port)):
        (settings.run_dir / "nginx.conf").write_text(
            f"pid nginx.pid; events {{}} http {{ server {{ listen {settings.listen}; }} }}"
        )
        with pytest.raises(RouterUnavailable, match="Another program has the port"):
            await asyncio.to_thread(launcher.start)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_is_held_in_either_family_and_let_go(settings: RouterSettings, address: str) -> None:
    held = HeldPort(address, settings.port)
    descriptors, environment = held.open()
    assert held.open() == (descriptors, environment) == ((descriptors[0],), environment)
    assert environment == {"NGINX": f"{descriptors[0]};"}
    with socket.create_connection((address, settings.port)):
        held.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, settings.port))
