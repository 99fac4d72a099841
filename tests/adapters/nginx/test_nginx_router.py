"""Loading, switching, dying, coming back: the Router port on a real nginx."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from router_bench import Bench, master, nginx_of, started, stopped_at_the_end

from controller.adapters import routing_switch
from controller.adapters.nginx.access_log import AccessLogReader
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.core.errors import ReloadRejected, RouterUnavailable
from controller.core.routing import (
    AddressRule,
    CookieRule,
    Endpoint,
    Group,
    Membership,
    RoleRule,
    Routing,
    TimeRule,
    Trial,
)

NewRouter = Callable[[], NginxRouter]


async def test_an_invalid_configuration_never_replaces_a_valid_one(bench: Bench) -> None:
    await started(bench)
    before = (bench.settings.run_dir / "nginx.conf").read_text()
    impossible = Group("v3", (Endpoint("v3-1", "127.0.0.1:9", weight=0),))
    with pytest.raises(ReloadRejected, match=r"(?s)weight.*still serves"):
        await bench.router.load(Membership((impossible,)), Routing("v3"))
    assert (bench.settings.run_dir / "nginx.conf").read_text() == before
    assert await bench.node_of() == "v1-1"
    assert bench.router.state().generation == 1
    assert bench.router.state().routing == Routing("v1")


async def test_a_load_answers_with_the_new_generation(bench: Bench) -> None:
    pid = await started(bench)
    await bench.router.load(bench.membership(v3=1), Routing("v3"))
    assert await bench.node_of() == "v3-1"
    state = bench.router.state()
    assert (state.generation, state.running, state.routing) == (2, True, Routing("v3"))
    assert state.loaded == bench.membership(v3=1)
    assert master(bench.settings.run_dir) == pid
    health = (await bench.client.get("/healthz")).json()
    assert (health["generation"], health["pools"]["stable"]) == (2, {"group": "v3", "nodes": 1})


async def test_reloads_lose_no_request(bench: Bench) -> None:
    await started(bench)
    done = asyncio.Event()

    async def user() -> list[int]:
        statuses = []
        async with httpx.AsyncClient(base_url=bench.settings.url) as client:
            while not done.is_set():
                statuses.append((await client.post("/v1/x", content=b"x" * 65536)).status_code)
        return statuses

    users = [asyncio.create_task(user()) for _ in range(8)]
    for _ in range(4):
        await bench.router.load(bench.membership(v1=1, v2=1), Routing("v1"))
    done.set()
    statuses = [status for statuses in await asyncio.gather(*users) for status in statuses]
    assert set(statuses) == {200}


async def test_a_restart_of_nginx_keeps_the_routing(bench: Bench) -> None:
    await started(bench)
    await bench.router.switch(Routing("v2"))
    async with restarted_nginx(bench):
        assert await bench.node_of() == "v2-1"


async def test_after_a_restart_of_nginx_every_kind_of_rule_and_the_page_of_the_trial_work(
    bench: Bench,
) -> None:
    await started(bench)
    rules = (
        AddressRule("10.0.0.0/8", "stable"),
        RoleRule("tester", pool="stable"),
        TimeRule("00:00", "23:59", days=(1, 2, 3, 4, 5, 6, 7), pool="stable"),
        TimeRule("12:00", "00:01", days=(1, 2, 3, 4, 5, 6, 7), pool="stable"),
    )
    opted_in = CookieRule("trial", "1")
    await bench.router.switch(
        Routing("v1", "v2", 100, rules=(opted_in, *rules), trial=Trial("trial"))
    )
    async with restarted_nginx(bench):
        assert await bench.node_of() == "v1-1"
        assert await bench.node_of(headers={"Cookie": "trial=1"}) == "v2-1"
        page = await bench.client.get("/canary")
        assert "left it out by a rule" in page.text


@asynccontextmanager
async def restarted_nginx(bench: Bench) -> AsyncIterator[None]:
    """It comes back without its controller, and serves by what was written down."""
    pid = master(bench.settings.run_dir)
    os.kill(pid, signal.SIGQUIT)
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 10)
    assert not await bench.router.check()
    launcher = ProcessLauncher(bench.settings.run_dir)
    async with stopped_at_the_end(launcher):
        await asyncio.to_thread(launcher.start)
        await answering(bench)
        socket_path = routing_switch.control_socket(bench.settings.run_dir)
        assert routing_switch.inspect(socket_path)["source"] == "file"
        yield


async def answering(bench: Bench) -> None:
    async with asyncio.timeout(60):
        while not await bench.router.check():
            await asyncio.sleep(0.01)


async def test_an_nginx_that_was_killed_whole_comes_back_though_nobody_clears_up(
    bench: Bench,
) -> None:
    """As Docker starts it again, with or without a controller."""
    pid = await started(bench)
    run_dir = bench.settings.run_dir
    everyone = [psutil.Process(pid), *psutil.Process(pid).children()]
    for process in everyone:
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, everyone, 10)
    async with stopped_at_the_end(ProcessLauncher(run_dir)) as launcher:
        await asyncio.to_thread(launcher.start)
        await answering(bench)
        await bench.router.switch(Routing("v2"))
        assert await bench.node_of() == "v2-1"
        assert not (run_dir / routing_switch.SOCKET).exists()  # nor in the way of the next one


async def test_a_killed_nginx_is_started_again_by_the_next_load(bench: Bench) -> None:
    pid = await started(bench)
    orphans = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 10)
    assert not await bench.router.check()
    assert await bench.node_of() == "v1-1"  # its workers serve on meanwhile
    await bench.router.load(bench.membership(v1=1, v2=1), Routing("v2"))
    assert await bench.router.check()
    assert master(bench.settings.run_dir) != pid
    async with httpx.AsyncClient(base_url=bench.settings.url) as fresh:
        assert (await fresh.get("/v1/models")).headers["X-ASR-Node"] == "v2-1"
    await bench.client.aclose()  # what they still serve is a kept connection
    assert await asyncio.to_thread(psutil.wait_procs, orphans, 15) == (orphans, []) or all(
        not orphan.is_running() for orphan in orphans
    )


async def test_orphans_without_a_pid_file_are_retired_too(bench: Bench) -> None:
    pid = await started(bench)
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)], 10)
    (bench.settings.run_dir / "nginx.pid").unlink()
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert await bench.node_of() == "v1-1"


async def test_another_controller_adopts_the_nginx_that_runs(
    bench: Bench, new_router: NewRouter
) -> None:
    pid = await started(bench)
    later = new_router()
    await later.start(bench.membership(v1=1, v2=1), Routing("v2"))
    assert master(bench.settings.run_dir) == pid
    assert later.state().generation == 2
    assert await bench.node_of() == "v2-1"


async def test_a_controller_that_knows_no_node_yet_keeps_what_it_adopts(
    bench: Bench, new_router: NewRouter
) -> None:
    await started(bench)
    await bench.router.switch(Routing("v1", "v2", 100))
    later = new_router()
    await later.start(Membership(), Routing("v1"))
    assert later.state().loaded == bench.membership(v1=1, v2=1)
    assert later.state().routing == Routing("v1", "v2", 100)
    assert await bench.node_of() == "v2-1"


async def test_what_a_dead_nginx_served_with_is_known_to_the_next_controller(
    bench: Bench, new_router: NewRouter
) -> None:
    await started(bench)
    assert await new_router().left_behind() is None  # it runs, and is adopted
    await asyncio.to_thread(ProcessLauncher(bench.settings.run_dir).stop, 0)
    assert await new_router().left_behind() == bench.membership(v1=1, v2=1)


async def test_nginx_is_never_started_twice(bench: Bench) -> None:
    pid = await started(bench)
    pid_file = bench.settings.run_dir / "nginx.pid"
    pid_file.unlink()
    await asyncio.to_thread(ProcessLauncher(bench.settings.run_dir).start)
    assert int(pid_file.read_text()) == pid
    assert len([p for p in nginx_of(bench.settings.run_dir) if p == pid]) == 1


async def test_without_its_pid_file_it_is_known_by_its_command_line(bench: Bench) -> None:
    await started(bench)
    (bench.settings.run_dir / "nginx.pid").unlink()
    assert await asyncio.to_thread(ProcessLauncher(bench.settings.run_dir).is_running)


async def test_the_nginx_of_another_folder_is_not_taken_for_ours(
    bench: Bench, tmp_path: Path
) -> None:
    """As after a reboot: an old pid file names a process that is another nginx now."""
    pid = await started(bench)
    ours = ProcessLauncher(tmp_path / "ours")
    ours.config_root.mkdir()
    (ours.config_root / "nginx.pid").write_text(f"{pid}\n")
    assert ours.processes() == []
    shorter = ProcessLauncher(Path(str(bench.settings.run_dir).removesuffix(" #1")))
    shorter._config = Path(str(bench.settings.run_dir / "nginx.conf").removesuffix(".conf"))
    assert not shorter._is_our_master(psutil.Process(pid))


async def test_a_port_in_use_is_named(bench: Bench) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", bench.settings.port))
        other.listen()
        with pytest.raises(RouterUnavailable, match=f"{bench.settings.port}.*another port"):
            await bench.router.start(bench.membership(v1=1), Routing("v1"))
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    assert await bench.node_of() == "v1-1"


async def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(bench: Bench) -> None:
    await started(bench)
    reader = AccessLogReader(bench.router.access_log)
    paths: list[str] = []

    async def read_until(count: int) -> None:
        async with asyncio.timeout(60):
            while len(paths) < count:
                paths.extend(request.path for request in reader.read())
                await asyncio.sleep(0.01)

    await bench.client.get("/1?secret=query")
    await read_until(1)
    await bench.client.get("/2")
    await bench.router.rotate_logs()
    async with asyncio.timeout(60):
        while not bench.router.access_log.exists():
            await asyncio.sleep(0.01)
    await bench.client.get("/3")
    await read_until(3)
    assert paths == ["/1", "/2", "/3"]
