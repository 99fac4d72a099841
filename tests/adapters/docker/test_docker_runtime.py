"""DockerRuntime against a real engine."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.adapters.docker.runtime import DockerRuntime
from controller.core.errors import RuntimeUnavailable
from tests.adapters.docker.docker_stand_ins import DEAF_STAND_IN, RuntimeMaker, SpecMaker, only_node

pytestmark = pytest.mark.docker


async def answers(address: str) -> bool:
    async with httpx.AsyncClient(timeout=1) as http:
        for _ in range(600):
            try:
                return (await http.get(f"http://{address}/")).is_success
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    return False


async def test_a_started_node_is_observed_and_answers_at_its_address(
    runtime: DockerRuntime, a_spec: SpecMaker
) -> None:
    await runtime.start(a_spec("v1-0", "v1"))
    node = await only_node(runtime)
    assert (node.name, node.version, node.device, node.running) == ("v1-0", "v1", "cpu", True)
    assert node.exit_status is None
    assert abs(node.started_at.timestamp() - time.time()) < 60
    assert node.address is not None
    assert await answers(node.address)


async def test_a_stopped_node_is_gone_and_its_data_stays(
    runtime: DockerRuntime, a_spec: SpecMaker, tmp_path: Path
) -> None:
    await runtime.start(a_spec())
    (tmp_path / "state/nodes/v1-0/history").write_text("kept")
    await runtime.stop("v1-0", grace_seconds=10)
    assert await runtime.observe() == ()
    assert (tmp_path / "state/nodes/v1-0/history").read_text() == "kept"
    await runtime.stop("v1-0", grace_seconds=10)  # once more changes nothing


async def test_a_node_deaf_to_sigterm_is_killed_after_the_grace(
    runtime: DockerRuntime, a_spec: SpecMaker
) -> None:
    await runtime.start(a_spec(image=DEAF_STAND_IN))
    before = time.monotonic()
    await runtime.stop("v1-0", grace_seconds=1)
    assert time.monotonic() - before >= 1
    assert await runtime.observe() == ()


async def test_starting_twice_at_once_or_again_is_one_container(
    a_runtime: RuntimeMaker, a_spec: SpecMaker
) -> None:
    first, second = a_runtime(), a_runtime()
    await asyncio.gather(*(each.start(a_spec()) for each in (first, second, first, second)))
    node = await only_node(first)
    await second.start(a_spec())
    assert await only_node(second) == node


async def test_an_ended_node_is_replaced_under_the_same_name(
    runtime: DockerRuntime, a_spec: SpecMaker
) -> None:
    await runtime.start(a_spec())
    await runtime.kill("v1-0")
    ended = await only_node(runtime)
    assert (ended.running, ended.exit_status, ended.address) == (False, 137, None)
    await runtime.start(a_spec())
    replaced = await only_node(runtime)
    assert replaced.running
    assert replaced.instance != ended.instance


async def test_a_container_created_before_a_crash_is_started_and_not_replaced(
    runtime: DockerRuntime, a_spec: SpecMaker, client: Any
) -> None:
    await runtime.start(a_spec())
    container = client.containers.get((await only_node(runtime)).instance)
    # what a controller leaves that dies between create and start
    attributes = container.attrs
    container.remove(force=True)
    created = client.containers.create(
        attributes["Config"]["Image"],
        name=attributes["Name"].strip("/"),
        labels=attributes["Config"]["Labels"],
        network=next(iter(attributes["NetworkSettings"]["Networks"])),
        tmpfs={"/data": ""},
    )
    assert (await only_node(runtime)).running is False
    assert (await only_node(runtime)).exit_status is None
    await runtime.start(a_spec())
    assert (await only_node(runtime)).instance == created.id


async def test_a_frozen_node_can_be_killed_and_stopped(
    runtime: DockerRuntime, a_spec: SpecMaker, client: Any
) -> None:
    for name in ("v1-0", "v1-1"):
        await runtime.start(a_spec(name))
    for node in await runtime.observe():
        client.containers.get(node.instance).pause()
    assert all(node.running for node in await runtime.observe())
    await runtime.kill("v1-0")
    await runtime.stop("v1-1", grace_seconds=5)
    node = await only_node(runtime)
    assert (node.name, node.running) == ("v1-0", False)
    await runtime.kill("v1-0")  # once more changes nothing


async def test_other_services_and_state_folders_are_never_seen_or_touched(
    a_runtime: RuntimeMaker, a_spec: SpecMaker
) -> None:
    ours = a_runtime()
    other_folder = a_runtime(state="elsewhere")
    await ours.start(a_spec())
    assert await other_folder.observe() == ()
    await other_folder.stop("v1-0", grace_seconds=0)
    await other_folder.kill("v1-0")
    assert await other_folder.last_log("v1-0") == ""
    with pytest.raises(RuntimeUnavailable, match="belongs to another state folder"):
        await other_folder.start(a_spec())
    assert (await only_node(ours)).running


async def test_the_end_of_the_log_is_what_the_node_was_told(
    runtime: DockerRuntime, a_spec: SpecMaker
) -> None:
    await runtime.start(a_spec())
    for _ in range(50):
        if (log := await runtime.last_log("v1-0", lines=1000)).count("\n") == 1:
            break
        await asyncio.sleep(0.1)
    assert log.splitlines()[0] == (
        "stand-in --host 0.0.0.0 --port 8000 --name v1-0 --device cpu --data-dir /data "
        "--version v1 --model /models/model --language auto --itn"
    )
    assert await runtime.last_log("v1-0", lines=1) == log.splitlines()[1]
    assert await runtime.last_log("unknown") == ""


async def test_a_node_is_hardened(runtime: DockerRuntime, a_spec: SpecMaker, client: Any) -> None:
    await runtime.start(a_spec())
    container = client.containers.get((await only_node(runtime)).instance)
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] == 1024
    assert host["Init"] is True
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert not host["PortBindings"]
    status, output = container.exec_run(
        [
            "sh",
            "-c",
            "exec 2>&1; id -u; echo x >/data/file && echo written; touch /models/model/x /app/x",
        ]
    )
    assert status == 1
    uid, written, *refused = output.decode().splitlines()
    assert (int(uid), written) == (os.getuid() or 10001, "written")
    assert all("Read-only file system" in line for line in refused)


async def test_a_missing_image_is_said_with_the_command_that_builds_it(
    runtime: DockerRuntime, a_spec: SpecMaker
) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"no such image.*`make images`"):
        await runtime.start(a_spec(image="asr-rollout/nowhere:dev"))
    assert await runtime.observe() == ()


async def test_a_missing_model_folder_is_said_before_anything_is_started(
    runtime: DockerRuntime, a_spec: SpecMaker, tmp_path: Path
) -> None:
    spec = a_spec()
    (tmp_path / "model").rename(tmp_path / "moved")
    with pytest.raises(RuntimeUnavailable, match="does not exist"):
        await runtime.start(spec)
    assert await runtime.observe() == ()


async def test_the_network_goes_with_the_last_node(
    runtime: DockerRuntime, a_spec: SpecMaker, client: Any
) -> None:
    await runtime.start(a_spec("v1-0"))
    await runtime.start(a_spec("v1-1"))
    first, _ = await runtime.observe()
    network = client.containers.get(first.instance).attrs["HostConfig"]["NetworkMode"]
    await runtime.stop("v1-0", grace_seconds=5)
    assert client.networks.list(names=[network])
    await runtime.stop("v1-1", grace_seconds=5)
    assert not client.networks.list(names=[network])
