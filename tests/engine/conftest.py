from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from controller.adapters.store import SqlStore
from controller.core.fleet import FleetConfig
from controller.engine.loop import Loop
from controller.engine.records import Outcome
from tests.engine.fakes import CONFIG, PLAN, Clock, FakeWorld, a_loop, as_json


class Driver:
    """One controller after another over the same world and store."""

    def __init__(
        self, world: FakeWorld, store: SqlStore, clock: Clock, config: FleetConfig = CONFIG
    ) -> None:
        self.world, self.store, self.clock, self.config = world, store, clock, config
        self.loop = a_loop(world, store, clock, config)

    async def begin(self) -> Driver:
        await self.loop.begin()
        return self

    async def crash_and_restart(self) -> None:
        """What an orderly end leaves: the world and the store; nothing in memory."""
        await self.loop.close()
        await self._restart()

    async def kill_and_restart(self) -> None:
        """As kill -9: nothing is written down any more."""
        await self.loop.jobs.close()
        await self._restart()

    async def _restart(self) -> None:
        self.loop = a_loop(self.world, self.store, self.clock, self.config)
        await self.loop.begin()

    async def round(self) -> None:
        """One round of observation and probes, one tick, and the jobs that it began."""
        await self.loop.observer.look()
        await self.loop.observer.probe()
        await self.loop.tick()
        await self.jobs()

    async def jobs(self) -> None:
        while tasks := list(self.loop.jobs._tasks.values()):
            await asyncio.wait(tasks)

    async def until(self, fact: Callable[[Loop], bool], rounds: int = 60) -> None:
        for _ in range(rounds):
            if fact(self.loop):
                return
            await self.round()
            self.clock.pass_seconds(1)
        raise AssertionError(
            f"not after {rounds} rounds: {self.loop.rollout}, {self.loop.desired()}"
        )

    async def until_settled(self) -> None:
        """Until the world is as it should be and a further round changes nothing."""

        def settled(loop: Loop) -> bool:
            wanted, router = loop.desired(), loop.router_state()
            names = {node.name for node in wanted.nodes}
            return (
                router.routing == wanted.routing
                and router.loaded == wanted.membership
                and set(self.world.nodes) == names
                and all(view.ready for view in loop.observer.views().values())
            )

        await self.until(settled)

    async def command(self, command: str, **arguments: object) -> Outcome:
        task = asyncio.create_task(self.loop.submit(command, arguments, "ann"))
        while not task.done():
            await self._woken_or(task)
            await self.loop.tick()
        return task.result()

    async def _woken_or(self, task: asyncio.Task[Outcome]) -> None:
        """A tick before the command is written down would find nothing; thousands would only
        take its thread the time to write."""
        woken = asyncio.create_task(self.loop._wake.wait())
        await asyncio.wait({task, woken}, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        self.loop._wake.clear()

    async def start(self, version: str = "v2", force: bool = False) -> Outcome:
        return await self.command("start", version=version, plan=as_json(PLAN), force=force)


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore.in_folder(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
async def driver(world: FakeWorld, store: SqlStore) -> AsyncIterator[Driver]:
    driven = await Driver(world, store, Clock()).begin()
    await driven.until_settled()
    yield driven
    await driven.loop.close()
