"""The real node in its real image with a real model, hardened as in production."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.model_files import local_digest
from controller.adapters.node_http import NodeHttpClient
from controller.core.errors import NodeUnavailable
from controller.core.version import Version
from controller.engine.ports.node_client import Readiness
from controller.engine.ports.runtime import NodeSpec
from tests.adapters.docker.docker_stand_ins import RuntimeMaker, only_node

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "models" / "demo-v1"
CLIP = ROOT / "eval_sets/digits/audio/digits-0001.ogg"

pytestmark = [pytest.mark.docker, pytest.mark.model, pytest.mark.timeout(180)]


@pytest.fixture
async def nodes() -> AsyncIterator[NodeHttpClient]:
    client = NodeHttpClient()
    yield client
    await client.close()


async def until_ready(nodes: NodeHttpClient, runtime: DockerRuntime, address: str) -> Readiness:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            readiness = await nodes.readiness(address, timeout_seconds=2)
        except NodeUnavailable:
            assert (await only_node(runtime)).running, await runtime.last_log("v1-0")
        else:
            if readiness.ready:
                return readiness
        await asyncio.sleep(0.5)
    raise AssertionError(await runtime.last_log("v1-0"))


async def test_it_serves_the_version_it_was_asked_for_and_drains_on_a_stop(
    a_runtime: RuntimeMaker, nodes: NodeHttpClient
) -> None:
    runtime = a_runtime()
    version = Version("v1", str(DEMO))
    await runtime.start(NodeSpec("v1-0", version, device="cpu"))
    address = (await only_node(runtime)).address
    assert address is not None
    readiness = await until_ready(nodes, runtime, address)
    assert (readiness.version, readiness.digest) == ("v1", local_digest(version))
    text = await nodes.transcribe(address, CLIP, timeout_seconds=30)
    assert len(set(text) & set(_reference())) >= 5
    before = time.monotonic()
    await runtime.stop("v1-0", grace_seconds=60)
    assert time.monotonic() - before < 60  # by itself
    assert await runtime.observe() == ()


def _reference() -> str:
    lines = (ROOT / "eval_sets/digits/manifest.jsonl").read_text(encoding="utf-8").splitlines()
    clips = {clip["key"]: clip["target"] for clip in map(json.loads, lines)}
    return str(clips["digits-0001"])
