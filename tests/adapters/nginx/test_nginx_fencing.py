"""A node freezes with requests in its hands. Killing it frees them, and whether nginx has been
told to leave it out before or after that makes no difference to any user."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from router_bench import Bench

from controller.adapters.nginx.settings import RouterSettings
from controller.core.routing import Endpoint, Group, Membership, Routing

# Takes what it is sent, says so once for each connection, and never answers.
MUTE = """
import os, socket, threading
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def take(connection):
    connection.recv(65536)
    os.write(1, b"has a request\\n")
    while connection.recv(65536): pass
while True:
    connection, _ = server.accept()
    threading.Thread(target=take, args=(connection,), daemon=True).start()
"""
REQUESTS = 8


@pytest.fixture
def settings(settings: RouterSettings) -> RouterSettings:
    """Old workers may take their time: nothing that they hold is cut off."""
    return replace(settings, stream_drain_seconds=60)


class Mute:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", MUTE], stdout=subprocess.PIPE, text=True
        )
        self.endpoint = Endpoint("v1-1", f"127.0.0.1:{self.line()}")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def mute() -> Iterator[Mute]:
    node = Mute()
    yield node
    node.kill()
    assert node.process.stdout is not None
    node.process.stdout.close()


@pytest.mark.parametrize("order", ["kill, then reload", "reload, then kill"])
async def test_what_a_frozen_node_holds_is_answered_by_another_once_it_is_killed(
    bench: Bench, mute: Mute, order: str
) -> None:
    other = Membership((Group("v1", (bench.node("v1-2").endpoint,)),))
    both = Membership((Group("v1", (mute.endpoint, bench.node("v1-2").endpoint)),))
    await bench.router.start(both, Routing("v1"))
    in_flight = [asyncio.create_task(post(bench)) for _ in range(REQUESTS)]
    assert await asyncio.to_thread(mute.line) == "has a request"
    mute.freeze()
    for step in order.split(", then "):
        if step == "kill":
            assert not all(task.done() for task in in_flight)
            mute.kill()
        else:
            await bench.router.load(other, Routing("v1"))
    answers = await asyncio.gather(*in_flight)
    assert [a.status_code for a in answers] == [200] * REQUESTS
    assert {a.headers["X-ASR-Node"] for a in answers} == {"v1-2"}


async def test_a_lone_canary_that_is_killed_leaves_its_requests_to_stable(
    bench: Bench, mute: Mute
) -> None:
    canary = Group("v2", (Endpoint("v2-1", mute.endpoint.address),))
    await bench.router.start(
        Membership((*bench.membership(v1=1).groups, canary)), Routing("v1", "v2", 100)
    )
    in_flight = [asyncio.create_task(post(bench)) for _ in range(REQUESTS)]
    assert await asyncio.to_thread(mute.line) == "has a request"
    mute.freeze()
    mute.kill()
    answers = await asyncio.gather(*in_flight)
    assert [a.status_code for a in answers] == [200] * REQUESTS


async def post(bench: Bench) -> httpx.Response:
    return await bench.client.post("/v1/audio/transcriptions", content=b"x" * 200_000, timeout=60)
