"""An nginx that is silent to its controller only is not taken for one that hangs."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest
from router_bench import Bench, master, stopped_at_the_end

from controller.adapters import routing_switch
from controller.adapters.nginx import door, running
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import ReloadRejected, RouterUnavailable
from controller.core.routing import Membership, Routing


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_LOAD_SECONDS", 2.0)


def lose_control_socket(settings: RouterSettings) -> None:
    routing_switch.control_socket(settings.run_dir).unlink()


class RestartedMeanwhile(ProcessLauncher):
    """As Docker, that starts a killed nginx again by itself: while a candidate is tested."""

    restarted: subprocess.Popen[bytes] | None = None

    def test(self, configuration: Path) -> str | None:
        self.restarted = subprocess.Popen(
            [*self._command(self._config), "-g", "daemon off;"],
            cwd=self.config_root,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        begun = routing_switch.begun_socket(self.config_root)
        live = begun.with_name(routing_switch.LIVE_SOCKET)  # nginx may have taken it aside by now
        while not any(map(routing_switch._is_listening, (begun, live))):
            time.sleep(0.01)
        while not self.is_running():  # it listens before it has written its pid
            time.sleep(0.01)
        return super().test(configuration)

    def stop(self, grace_seconds: float) -> None:
        super().stop(grace_seconds)
        if self.restarted is not None:
            self.restarted.wait()


async def test_an_nginx_that_came_back_by_itself_keeps_its_socket_and_its_life(
    bench: Bench,
) -> None:
    wanted = bench.membership(v1=1)
    await bench.router.start(wanted, Routing("v1"))
    killed = psutil.Process(master(bench.settings.run_dir))
    for process in [killed, *killed.children()]:  # the master first: it starts workers anew
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, [killed], 10)
    async with stopped_at_the_end(RestartedMeanwhile(bench.settings.run_dir)) as launcher:
        later = NginxRouter(bench.settings, launcher)
        await later.load(wanted, Routing("v1"))
        assert launcher.restarted is not None
        assert master(bench.settings.run_dir) == launcher.restarted.pid
        assert await later.check()


async def test_where_only_the_control_socket_is_lost_what_is_in_flight_is_answered(
    bench: Bench, impatient: None
) -> None:
    settings = replace(bench.settings, stream_drain_seconds=60)
    bench.router = NginxRouter(settings, ProcessLauncher(settings.run_dir))
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    pid = master(bench.settings.run_dir)
    bench.node("v1-1").behave = slowly
    asked = asyncio.create_task(bench.client.post("/v1/x", content=b"x"))
    await arrived(bench)
    lose_control_socket(bench.settings)
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert (await asked).status_code == 200
    assert master(bench.settings.run_dir) != pid
    assert await bench.router.check()


def slowly(request: BaseHTTPRequestHandler) -> bool:
    time.sleep(8.0)  # longer than the router waits for its nginx, shorter than nginx may end for
    return False


async def arrived(bench: Bench) -> None:
    async with asyncio.timeout(60):
        while not bench.node("v1-1").requests:
            await asyncio.sleep(0.01)


async def test_an_nginx_whose_socket_was_lost_without_a_controller_keeps_its_nodes(
    bench: Bench, impatient: None
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    lose_control_socket(bench.settings)
    async with stopped_at_the_end(ProcessLauncher(bench.settings.run_dir)) as launcher:
        later = NginxRouter(bench.settings, launcher)
        await later.start(Membership(), Routing("v2"))
        assert later.state().loaded == bench.membership(v1=1)
        assert later.state().routing == Routing("v1")
        assert await bench.node_of() == "v1-1"


async def test_a_controller_that_stood_still_does_not_take_a_busy_nginx_for_a_hanging_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    pid = master(bench.settings.run_dir)
    monkeypatch.setattr(running, "_LOAD_SECONDS", -1.0)  # over at the first look
    inspect, looks = bench.router._running.inspect, []

    def busy_at_first() -> dict[str, Any] | None:
        looks.append(1)
        return None if len(looks) < 3 else inspect()

    monkeypatch.setattr(bench.router._running, "inspect", busy_at_first)
    with suppress(ReloadRejected):  # its patience ended while the old generation answered
        await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert master(bench.settings.run_dir) == pid


class Pausable(ProcessLauncher):
    """As Docker, that gives no signal to a paused container."""

    def reload(self) -> None:
        process = self._master()
        if process is not None and process.status() == psutil.STATUS_STOPPED:
            raise RouterUnavailable("cannot send SIGHUP to the router: it is paused")
        super().reload()


async def test_an_nginx_that_was_paused_is_replaced(
    bench: Bench, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_LEAST_LOOKS", 2)
    monkeypatch.setattr(door, "_SECONDS", 1.0)
    async with stopped_at_the_end(Pausable(bench.settings.run_dir)) as launcher:
        router = NginxRouter(bench.settings, launcher)
        await router.start(bench.membership(v1=1), Routing("v1"))
        paused = psutil.Process(master(bench.settings.run_dir))
        for process in [paused, *paused.children()]:
            process.suspend()
        await router.load(bench.membership(v1=1), Routing("v1"))
        assert master(bench.settings.run_dir) != paused.pid
        assert await router.check()
        assert await bench.node_of() == "v1-1"
