"""What a node that is to go is waited for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

import pytest

from controller.api.status import status
from controller.core.errors import NodeUnavailable
from controller.core.version import Version
from controller.engine import drain
from controller.engine.drain import Drain, no_batches
from controller.engine.ports.node_client import NodeClient, Readiness
from controller.engine.ports.runtime import NodeSpec
from tests.engine.conftest import Driver
from tests.engine.fakes import FakeRuntime

READY = Readiness(True, "", "v1", "digest", in_flight=0)
BUSY = Readiness(True, "", "v1", "digest", in_flight=1)


@dataclass
class Node:
    answer: Readiness | None = READY
    open_streams: int = 0

    async def readiness(self, _address: str, _timeout_seconds: float) -> Readiness:
        if self.answer is None:
            raise NodeUnavailable("refused")
        return self.answer

    async def streams(self, _address: str, _timeout_seconds: float) -> int:
        return self.open_streams


async def no_answer(_address: str) -> bool:
    raise NodeUnavailable("node answered /v1/batches with 503")


def a_drain(node: Node, batches_over: drain.BatchesOver = no_batches) -> Drain:
    return Drain("10.0.0.1:1", cast(NodeClient, node), batches_over, patience=3)


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_LOOK_SECONDS", 0.0)


async def test_a_node_is_done_when_its_requests_and_its_streams_have_ended() -> None:
    node = Node(BUSY, open_streams=1)
    draining = a_drain(node)
    assert not await draining.is_over()
    node.answer = READY
    assert not await draining.is_over()
    node.open_streams = 0
    assert await draining.is_over()


async def test_a_node_that_does_not_answer_is_waited_for_a_few_times_only() -> None:
    draining = a_drain(Node(answer=None))
    assert [await draining.is_over() for _ in range(3)] == [False, False, True]


async def test_one_answer_begins_the_count_of_those_that_fail_anew() -> None:
    node = Node(answer=None)
    draining = a_drain(node)
    await draining.is_over()
    await draining.is_over()
    node.answer = BUSY
    assert not await draining.is_over()
    node.answer = None
    assert not await draining.is_over()


async def test_batches_that_cannot_be_told_for_a_moment_end_no_wait() -> None:
    """While its disk is full, or its history is locked; a node that lives is not silent."""
    draining = a_drain(Node(), no_answer)
    assert not await draining.is_over()
    draining.batches_over = not_over
    assert not await draining.is_over()
    draining.batches_over = no_answer
    assert [await draining.is_over() for _ in range(3)] == [False, False, True]


async def not_over(_address: str) -> bool:
    return False


async def stray(driver: Driver) -> None:
    """A node that nobody wants."""
    await FakeRuntime(driver.world).start(NodeSpec("v2-9", Version("v2", "/models/v2"), "auto"))


async def test_what_another_controller_left_to_drain_is_asked_not_stopped(driver: Driver) -> None:
    """It may be at work for an hour, and its controller be killed meanwhile."""
    await driver.until_settled()
    await stray(driver)
    driver.world.streams["v2-9"] = 1
    await driver.kill_and_restart()
    await driver.loop.tick()
    async with asyncio.timeout(30):
        await driver.world.asked_for_streams.wait()
    assert "v2-9" in driver.world.nodes
    told = status(driver.loop, driver.loop.router_state(), "process")
    assert [node["name"] for node in told["leaving"]] == ["v2-9"]
    driver.world.streams.clear()
    await driver.until(lambda _: "v2-9" not in driver.world.nodes)
