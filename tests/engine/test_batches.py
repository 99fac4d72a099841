"""A node is not stopped before it has worked off its batches, and their results outlive it."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.core.errors import NodeUnavailable
from controller.core.version import Version
from controller.engine.batches import BatchKeeper
from controller.engine.ports.runtime import NodeSpec
from tests.engine.conftest import Driver
from tests.engine.fakes import FakeRuntime

DONE, ALSO_DONE, WAITING = ("batch_v1-1_" + digit * 32 for digit in "abc")


@dataclass
class Node:
    """Its batches: whether each is finished."""

    finished: dict[str, bool]
    asked: list[str] = field(default_factory=list)

    async def batches(self, _address: str, _timeout_seconds: float) -> Sequence[Mapping[str, Any]]:
        return [self._told(name) for name in self.finished]

    async def batch(
        self, _address: str, batch_id: str, _timeout_seconds: float
    ) -> Mapping[str, Any]:
        self.asked.append(batch_id)
        return {**self._told(batch_id), "files": [{"text": "喂"}]}

    def _told(self, name: str) -> dict[str, Any]:
        return {"id": name, "finished_time": "2026-11-21T12:00Z" if self.finished[name] else None}


@dataclass
class Results:
    kept: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    full: bool = False

    def has(self, batch_id: str) -> bool:
        return batch_id in self.kept

    def keep(self, batch: Mapping[str, Any]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept[batch["id"]] = batch


async def test_a_node_has_something_to_do_until_its_last_batch_is_finished() -> None:
    node, results = Node({DONE: True, WAITING: False}), Results()
    keeper = BatchKeeper(node, results)
    assert not await keeper.over("a:1")
    node.finished[WAITING] = True
    assert await keeper.over("a:1")
    assert set(results.kept) == {DONE, WAITING}
    assert results.kept[DONE]["files"] == [{"text": "喂"}]


async def test_each_result_is_fetched_once() -> None:
    node = Node({DONE: True, ALSO_DONE: True, WAITING: False})
    keeper = BatchKeeper(node, Results())
    for _ in range(3):
        await keeper.over("a:1")
    assert node.asked == [DONE, ALSO_DONE]


async def test_what_cannot_be_kept_stays_with_its_node() -> None:
    results = Results(full=True)
    keeper = BatchKeeper(Node({DONE: True}), results)
    assert not await keeper.over("a:1")
    results.full = False
    assert await keeper.over("a:1")


async def stray(driver: Driver) -> None:
    """A healthy node that nobody wants."""
    await FakeRuntime(driver.world).start(NodeSpec("v2-9", Version("v2", "/models/v2"), "auto"))
    await driver.loop.observer.look()
    await driver.loop.observer.probe()


async def test_a_node_that_is_to_go_is_stopped_when_its_batches_are_over(driver: Driver) -> None:
    looks: list[bool] = []

    async def over(_address: str) -> bool:
        looks.append("v2-9" in driver.world.nodes)
        return len(looks) > 1

    driver.loop.keeper.batches_over = over
    await stray(driver)
    await driver.until(lambda _: "v2-9" not in driver.world.nodes)
    assert looks == [True, True]


@pytest.mark.parametrize("answer", ["never over", "not there"])
async def test_a_node_is_not_waited_for_for_ever(driver: Driver, answer: str) -> None:
    async def over(_address: str) -> bool:
        if answer == "never over":
            return False
        raise NodeUnavailable("node answered /v1/batches with 404")

    driver.loop.keeper.batches_over = over
    await stray(driver)
    await driver.until(lambda _: "v2-9" not in driver.world.nodes)
