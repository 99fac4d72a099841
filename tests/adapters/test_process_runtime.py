"""Real processes: the node program itself, which answers before its model is loaded."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from controller.adapters import process_runtime
from controller.adapters.api_keys import ApiKeys
from controller.adapters.node_http import NodeHttpClient
from controller.adapters.process_runtime import ProcessRuntime, node_environment
from controller.core.errors import NodeUnavailable, RuntimeUnavailable
from controller.core.version import Version
from controller.engine.ports.runtime import NodeSpec, ObservedNode

MODEL = Path(__file__).parents[2] / "models" / "demo-v1"
SPEC = NodeSpec("v1-1", Version("v1", str(MODEL)), "cpu")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state with a space"


@pytest.fixture
async def runtime(state_dir: Path) -> AsyncIterator[ProcessRuntime]:
    made = ProcessRuntime(state_dir)
    yield made
    for node in await made.observe():
        await made.stop(node.name, 5)
    assert pids(state_dir) == []


def pids(state_dir: Path) -> list[int]:
    """The nodes of a state folder that run, whoever knows of them."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        ours = any(str(state_dir) in word for word in process.info["cmdline"] or [])
        if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


async def only(runtime: ProcessRuntime) -> ObservedNode:
    (node,) = await runtime.observe()
    return node


async def until(runtime: ProcessRuntime, fact: Callable[[ObservedNode], bool]) -> ObservedNode:
    async with asyncio.timeout(100):
        while not fact(node := await only(runtime)):
            await asyncio.sleep(0.05)
    return node


async def answers(node: ObservedNode) -> bool:
    client = NodeHttpClient()
    try:
        await client.alive(str(node.address), 1)
    except NodeUnavailable:
        return False
    finally:
        await client.close()
    return True


async def test_a_started_node_runs_answers_and_is_gone_after_stop(
    runtime: ProcessRuntime, state_dir: Path
) -> None:
    await runtime.start(SPEC)
    node = await only(runtime)
    assert (node.name, node.version, node.device, node.running) == ("v1-1", "v1", "cpu", True)
    async with asyncio.timeout(100):
        while not await answers(node):
            await asyncio.sleep(0.05)
    await runtime.stop("v1-1", 5)
    assert await runtime.observe() == ()
    assert pids(state_dir) == []


async def test_starting_twice_is_one_process(runtime: ProcessRuntime, state_dir: Path) -> None:
    await asyncio.gather(runtime.start(SPEC), runtime.start(SPEC))
    await runtime.start(SPEC)
    assert len(pids(state_dir)) == 1


async def test_another_controller_adopts_the_node_and_starts_no_second(
    runtime: ProcessRuntime, state_dir: Path
) -> None:
    await runtime.start(SPEC)
    adopted = ProcessRuntime(state_dir)
    await adopted.start(SPEC)
    assert (await only(adopted)).instance == (await only(runtime)).instance
    assert len(pids(state_dir)) == 1


async def test_a_node_whose_pid_was_never_written_down_is_found_by_its_command(
    runtime: ProcessRuntime, state_dir: Path
) -> None:
    await runtime.start(SPEC)
    record = state_dir / "nodes" / "v1-1" / "process.json"
    forgotten = json.loads(record.read_text()) | {"pid": None, "created": None}
    record.write_text(json.dumps(forgotten))
    adopted = ProcessRuntime(state_dir)
    assert (await only(adopted)).running
    await adopted.start(SPEC)
    assert len(pids(state_dir)) == 1


async def test_a_killed_node_is_seen_as_ended_with_its_status(
    runtime: ProcessRuntime, state_dir: Path
) -> None:
    await runtime.start(SPEC)
    os.kill(pids(state_dir)[0], signal.SIGKILL)
    node = await until(runtime, lambda n: not n.running)
    assert node.exit_status == -signal.SIGKILL


async def test_a_frozen_node_can_be_killed(runtime: ProcessRuntime, state_dir: Path) -> None:
    await runtime.start(SPEC)
    assert not (await only(runtime)).paused
    os.kill(pids(state_dir)[0], signal.SIGSTOP)
    await until(runtime, lambda node: node.running and node.paused)
    await runtime.kill("v1-1")
    node = await only(runtime)
    assert not node.running
    assert node.exit_status == -signal.SIGKILL


async def test_a_node_that_outlives_its_kill_is_not_said_to_have_ended(
    runtime: ProcessRuntime, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.start(SPEC)
    with monkeypatch.context() as patched:  # as one that waits for a broken disk
        patched.setattr(psutil.Process, "kill", lambda _: None)
        patched.setattr(process_runtime, "_KILL_SECONDS", 0.1)
        with pytest.raises(RuntimeUnavailable, match=r"v1-1: process \d+ still runs"):
            await runtime.kill("v1-1")
    assert (await only(runtime)).running


async def test_an_ended_node_is_started_anew_as_another_instance(
    runtime: ProcessRuntime, state_dir: Path
) -> None:
    await runtime.start(SPEC)
    first = await only(runtime)
    await runtime.kill("v1-1")
    await runtime.start(SPEC)
    second = await only(runtime)
    assert second.running
    assert second.instance != first.instance


async def test_a_node_that_refuses_its_model_leaves_its_reason_in_the_log(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    empty = tmp_path / "no model"
    empty.mkdir()
    await runtime.start(NodeSpec("v9-1", Version("v9", str(empty))))
    await until(runtime, lambda n: not n.running)
    assert "no model" in await runtime.last_log("v9-1")


def test_a_node_gets_no_secrets_of_our_environment() -> None:
    environment = node_environment({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x"})
    assert environment == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}


async def test_a_node_asks_for_the_keys_of_the_fleet_and_keeps_copies_where_asked(
    tmp_path: Path, state_dir: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("key-of-the-controller")
    closed = ProcessRuntime(state_dir, ApiKeys(keys), keep_copies=True)
    await closed.start(SPEC)
    try:
        node = await only(closed)
        async with asyncio.timeout(100):
            while not await answers(node):
                await asyncio.sleep(0.05)
        async with httpx.AsyncClient(base_url=f"http://{node.address}", trust_env=False) as client:
            bearer = {"Authorization": "Bearer key-of-the-controller"}
            refused = await client.get("/v1/models")
            answered = await client.get("/v1/models", headers=bearer)
        command = " ".join(psutil.Process(int(node.instance.partition("-")[0])).cmdline())
    finally:
        await closed.stop(SPEC.name, 5)
    assert (refused.status_code, answered.status_code) == (401, 200)
    assert "--keep-copies" in command
    assert "key-of-the-controller" not in command
