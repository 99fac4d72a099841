"""Switching the router that runs, with and without the object that keeps it."""

from __future__ import annotations

import asyncio
import errno
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from router_bench import Bench, nginx_of, started

from controller.adapters import routing_switch
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.core.errors import RouterUnavailable
from controller.core.routing import Routing


async def test_a_switch_during_a_load_is_not_undone_by_it(bench: Bench) -> None:
    await started(bench)
    load = asyncio.create_task(
        bench.router.load(bench.membership(v1=1, v2=1), Routing("v1", "v2", 100))
    )
    await asyncio.sleep(0)  # it has begun, with the routing of its beginning
    await bench.router.switch(Routing("v1"))
    await load
    assert bench.router.state().routing == Routing("v1")
    assert await bench.node_of() == "v1-1"
    written = routing_switch.read_routing(bench.settings.run_dir)
    assert written is not None
    assert Routing.from_dict(written) == Routing("v1")


async def test_a_switch_without_nginx_is_written_down_and_refused(bench: Bench) -> None:
    await started(bench)
    await bench.router.stop()
    with pytest.raises(RouterUnavailable, match="does not answer"):
        await bench.router.switch(Routing("v2"))
    written = routing_switch.read_routing(bench.settings.run_dir)
    assert written is not None
    assert Routing.from_dict(written) == Routing("v2")
    await bench.router.stop()  # idempotent


async def test_traffic_is_switched_though_the_disk_is_full_and_written_down_once_it_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(bench)
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(routing_switch, "write_routing", refuse)
        await bench.router.switch(Routing("v2"))
        assert await bench.node_of() == "v2-1"
        assert bench.router.state().routing == Routing("v2")
        assert await bench.router.check()
    assert await bench.router.check()
    written = routing_switch.read_routing(bench.settings.run_dir)
    assert written is not None
    assert Routing.from_dict(written) == Routing("v2")


async def test_the_emergency_switch_works_without_a_router_object(bench: Bench) -> None:
    await started(bench)
    run_dir = bench.settings.run_dir
    value = Routing("v2").to_dict()
    assert routing_switch.serving(run_dir, "v2") is True
    assert routing_switch.serving(run_dir, "v9") is False
    routing_switch.write_routing(run_dir, value)
    routing_switch.switch(routing_switch.control_socket(run_dir), value)
    assert await bench.node_of() == "v2-1"
    await bench.router.stop()
    assert routing_switch.serving(run_dir, "v2") is None
    assert routing_switch.read_routing(run_dir / "nowhere") is None


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"stable": 1},
        Routing("v1").to_dict() | {"rules": None},
        Routing("v1").to_dict() | {"canary_buckets": "1"},
        Routing("v1").to_dict() | {"sticky": "x"},
        Routing("v1").to_dict() | {"canary": 5},
        Routing("v1").to_dict() | {"trial": {"cookie": "a; Path=/"}},
        Routing("v1").to_dict()
        | {"trial": {"cookie": "a", "consent_required": True}, "canary_buckets": 1},
    ],
)
async def test_half_a_routing_is_refused(bench: Bench, value: dict[str, object]) -> None:
    await started(bench)
    with pytest.raises(RouterUnavailable, match="refused a routing"):
        routing_switch.switch(routing_switch.control_socket(bench.settings.run_dir), value)
    assert await bench.node_of() == "v1-1"


async def test_only_its_owner_reaches_the_control_socket(bench: Bench) -> None:
    await started(bench)
    path = routing_switch.control_socket(bench.settings.run_dir)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await bench.client.put("/routing", json={"stable": "v2"})).status_code == 200
    assert await bench.node_of() == "v1-1"  # to clients /routing is a path of the nodes


async def test_a_run_dir_too_long_for_a_socket_has_it_elsewhere(
    bench: Bench, tmp_path: Path
) -> None:
    far = tmp_path / ("long " * 20)
    router = NginxRouter(replace(bench.settings, run_dir=far), ProcessLauncher(far))
    try:
        await router.start(bench.membership(v1=1), Routing("v1"))
        await router.switch(Routing("v1"))
        path = routing_switch.control_socket(far)
        assert far not in path.parents
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert await bench.node_of() == "v1-1"
    finally:
        await router.stop()
    assert nginx_of(far) == []
    path.parent.rmdir()


async def test_the_control_socket_is_taken_aside_once_per_start(bench: Bench) -> None:
    await started(bench)
    name = routing_switch.begun_socket(bench.settings.run_dir)  # `nginx -t` listens there, too
    live = name.with_name(routing_switch.LIVE_SOCKET)
    taken = 0
    for _ in range(3):
        name.touch()
        await asyncio.sleep(0.6)  # in which it looks thrice, where it looks again
        taken += not name.exists()
    name.unlink(missing_ok=True)
    assert taken <= 1  # nginx may not have looked once before that
    assert live.exists()
