"""Faults of drills, in containers on a real engine, and their undoing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.docker.faults import DockerFaults
from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings
from controller.core.drill.journal import Target
from controller.core.errors import Refused
from tests.adapters.docker.docker_stand_ins import SpecMaker, only_node

pytestmark = pytest.mark.docker

_SILENT_SECONDS = 2.0
_WORKER = ["python3", "-c", "import time; time.sleep(600)", "asr_node.worker.main"]


@pytest.fixture
def faults(tmp_path: Path, a_service: str) -> DockerFaults:
    return DockerFaults(DockerSettings(service=a_service, state_dir=tmp_path / "state"))


async def a_node(runtime: DockerRuntime, spec: SpecMaker) -> tuple[str, str]:
    """Its instance and its URL, once it answers."""
    await runtime.start(spec())
    node = await only_node(runtime)
    url = f"http://{node.address}/"
    httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False).get(url, timeout=60)
    return node.instance, url


def asked(url: str, seconds: float = 60.0) -> str:
    """What becomes of a new connection."""
    try:
        return str(httpx.get(url, timeout=seconds, trust_env=False).status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


async def test_a_node_that_is_cut_off_says_nothing_until_it_is_reconnected(
    runtime: DockerRuntime, a_spec: SpecMaker, faults: DockerFaults
) -> None:
    _, url = await a_node(runtime, a_spec)
    target = faults.target("v1-0")
    faults.cut(target)
    faults.cut(target)  # what a restarted drill does again changes nothing
    assert asked(url, _SILENT_SECONDS) == "ConnectTimeout"  # and not refused, nor unreachable
    assert (await only_node(runtime)).running
    faults.reconnect(target)
    assert asked(url) == "200"
    faults.reconnect(target)
    await runtime.stop("v1-0", grace_seconds=10)
    faults.reconnect(target)  # gone: nothing to mend
    with pytest.raises(Refused, match="started anew"):
        faults.cut(target)


async def test_a_node_that_was_thawed_already_is_left_as_it_is(
    runtime: DockerRuntime, a_spec: SpecMaker, faults: DockerFaults
) -> None:
    _, url = await a_node(runtime, a_spec)
    target = faults.target("v1-0")
    faults.freeze(target)
    assert (await only_node(runtime)).paused
    faults.thaw(target)
    faults.thaw(target)  # as after a slow node, whose last pulse was over
    assert asked(url) == "200"


async def test_nobody_is_left_over_who_cut_a_node_off(
    runtime: DockerRuntime, a_spec: SpecMaker, faults: DockerFaults, client: Any, a_service: str
) -> None:
    await a_node(runtime, a_spec)
    faults.cut(faults.target("v1-0"))
    ours = {"label": f"asr-rollout.service={a_service}"}
    names = [c.name for c in client.containers.list(all=True, filters=ours)]
    assert names == [f"asr-{a_service}-v1-0"]


async def test_a_node_that_may_not_write_may_again_afterwards(
    runtime: DockerRuntime, a_spec: SpecMaker, faults: DockerFaults, client: Any
) -> None:
    instance, url = await a_node(runtime, a_spec)
    target, container = faults.target("v1-0"), client.containers.get(instance)
    faults.forbid_writing(target)
    limits = container.exec_run(["cat", "/proc/1/limits"]).output.decode()
    assert "Max file size             0" in limits
    assert asked(url) == "200"
    faults.allow_writing(target)
    limits = container.exec_run(["cat", "/proc/1/limits"]).output.decode()
    assert "Max file size             unlimited" in limits


async def test_only_the_processes_that_hold_the_model_are_killed(
    runtime: DockerRuntime, a_spec: SpecMaker, faults: DockerFaults, client: Any
) -> None:
    instance, url = await a_node(runtime, a_spec)
    target, container = faults.target("v1-0"), client.containers.get(instance)
    with pytest.raises(Refused, match="v1-0 has no worker"):
        faults.kill_workers(target)
    container.exec_run(_WORKER, detach=True)
    await until(lambda: has_worker(container))
    faults.kill_workers(target)
    await until(lambda: not has_worker(container))
    assert asked(url) == "200"


def has_worker(container: Any) -> bool:
    lines = container.top(ps_args="-eo pid,stat,args")["Processes"]
    return any("asr_node.worker" in line[-1] and "Z" not in line[1] for line in lines)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(fact):
            await asyncio.sleep(0.05)


def test_a_container_that_is_not_there_is_refused(faults: DockerFaults) -> None:
    with pytest.raises(Refused, match="does not run; nothing was broken"):
        faults.target("v1-0")
    faults.allow_writing(Target("v1-0", "gone"))
