"""An nginx that is killed, in parts or whole, or that can no longer take a configuration."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from router_bench import Bench

from benchmarks.faults_injected.hands import is_dead
from controller.adapters.nginx.process_launcher import packaged_nginx
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.routing_switch import begun_socket
from controller.core.desired import Desired
from controller.core.errors import InvalidConfig, ReloadRejected
from controller.core.routing import Endpoint, Group, Membership, Routing
from controller.engine.jobs import Jobs
from controller.engine.router_keeper import RouterKeeper

IMPOSSIBLE = Membership((Group("v1", (Endpoint("v1-1", "127.0.0.1:9", weight=0),)),))


def processes(run_dir: Path) -> tuple[psutil.Process, list[psutil.Process]]:
    """The master and its workers."""
    master = psutil.Process(int((run_dir / "nginx.pid").read_text()))
    return master, master.children()


@contextlib.asynccontextmanager
async def supervised(router: NginxRouter, wanted: Desired) -> AsyncIterator[RouterKeeper]:
    """As the controller looks after it."""
    jobs = Jobs(lambda: None)
    keeper = RouterKeeper(router, jobs)

    async def look() -> None:
        while True:
            if not await keeper.runs():
                keeper.revive(wanted)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(look())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await jobs.close()


async def answers(bench: Bench) -> bool:
    """Whether a new connection is served."""
    async with httpx.AsyncClient(base_url=bench.settings.url, timeout=5) as fresh:
        try:
            return (await fresh.get("/v1/models")).status_code == 200
        except httpx.HTTPError:
            return False


async def until(fact: object) -> None:
    async with asyncio.timeout(60):
        while not await fact():  # type: ignore[operator]
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("killed", ["master", "workers", "all"])
async def test_whatever_is_killed_of_it_new_connections_are_served_again(
    bench: Bench, killed: str
) -> None:
    wanted = Desired((), bench.membership(v1=1), Routing("v1"))
    await bench.router.start(wanted.membership, wanted.routing)
    master, workers = processes(bench.settings.run_dir)
    async with supervised(bench.router, wanted) as keeper:
        for process in {"master": [master], "workers": workers, "all": [master, *workers]}[killed]:
            process.kill()
        await until(lambda: answers(bench))

        async def whole() -> bool:
            gone = {"master": [master, *workers], "workers": workers, "all": [master, *workers]}
            return await bench.router.check() and all(map(is_dead, gone[killed]))

        await bench.client.aclose()  # an orphan serves a kept connection to its end
        await until(whole)
        assert await answers(bench)
        assert bool(keeper.revivals) is (killed != "workers")


async def dead(bench: Bench) -> None:
    """Everything of nginx is killed."""
    master, workers = processes(bench.settings.run_dir)
    for process in (master, *workers):
        os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, [master, *workers], 10)


async def test_a_dead_nginx_serves_by_its_last_good_configuration_where_the_new_one_is_not(
    bench: Bench,
) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    await dead(bench)
    with pytest.raises(ReloadRejected, match="weight"):
        await bench.router.load(IMPOSSIBLE, Routing("v1"))
    assert await answers(bench)
    state = bench.router.state()
    assert (state.running, state.loaded) == (True, bench.membership(v1=1))


async def test_killed_again_and_again_it_starts_without_anybody_who_takes_its_socket_aside(
    bench: Bench,
) -> None:
    """As Docker starts it while no controller runs."""
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    run_dir = bench.settings.run_dir

    async def is_aside() -> bool:
        return not begun_socket(run_dir).exists()

    command = [packaged_nginx(), "-p", str(run_dir), "-c", str(run_dir / "nginx.conf")]
    await dead(bench)
    for _ in range(3):
        started = await asyncio.create_subprocess_exec(
            *command, "-g", "daemon off;", start_new_session=True
        )
        try:
            await until(lambda: answers(bench))
            await until(is_aside)
        finally:
            os.killpg(started.pid, signal.SIGKILL)
            await started.wait()


async def test_an_nginx_that_others_started_again_is_seen_with_the_routing_that_it_has(
    bench: Bench,
) -> None:
    """As Docker does, faster than anybody looks."""
    await bench.router.start(bench.membership(v1=1, v2=1), Routing("v1"))
    await bench.router.load(bench.membership(v1=2, v2=1), Routing("v1"))
    assert await bench.router.check()
    assert bench.router.state().restarts == 0, "a load is none"
    run_dir = bench.settings.run_dir
    before = (run_dir / "routing.json").read_text()
    await bench.router.switch(Routing("v2"))
    (run_dir / "routing.json").write_text(before)  # as where the disk is full
    await dead(bench)
    command = [packaged_nginx(), "-p", str(run_dir), "-c", str(run_dir / "nginx.conf")]
    started = await asyncio.create_subprocess_exec(
        *command, "-g", "daemon off;", start_new_session=True
    )
    try:
        await until(bench.router.check)
        state = bench.router.state()
        assert (state.restarts, state.routing) == (1, Routing("v1"))
        assert await bench.router.check()
        assert bench.router.state().restarts == 1
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        await started.wait()
    await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert bench.router.state().restarts == 1, "one that we start in its place is none"


async def test_a_dead_nginx_serves_though_the_key_of_tokens_is_gone(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    await dead(bench)
    assert bench.settings.jwt_key_file is not None
    bench.settings.jwt_key_file.unlink()
    with pytest.raises(InvalidConfig, match="jwt_key_file"):
        await bench.router.load(bench.membership(v1=1), Routing("v1"))
    assert await answers(bench)


async def test_where_the_newest_is_damaged_on_the_disk_the_one_before_serves(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    await bench.router.load(bench.membership(v1=2), Routing("v1"))
    await dead(bench)
    generations = bench.settings.run_dir / "generations"
    (generations / "2" / "routing.js").write_text("export default {")
    (generations / "1" / "membership.json").write_text("{")
    with pytest.raises(ReloadRejected):
        await bench.router.load(IMPOSSIBLE, Routing("v1"))
    assert await answers(bench)
    assert bench.router.state().generation == 1
    await bench.router.load(bench.membership(v1=2), Routing("v1"))
    assert bench.router.state().loaded == bench.membership(v1=2)


async def test_without_any_good_configuration_the_refusal_is_told(bench: Bench) -> None:
    await bench.router.start(bench.membership(v1=1), Routing("v1"))
    await dead(bench)
    shutil.rmtree(bench.settings.run_dir / "generations")
    with pytest.raises(ReloadRejected, match="weight"):
        await bench.router.load(IMPOSSIBLE, Routing("v1"))
    assert bench.router.state().loaded != IMPOSSIBLE
