"""Who reads a long log lets others have their turns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from controller.core.rollout import Rollout
from controller.engine.records import Served
from controller.engine.traffic import Traffic
from tests.engine.conftest import Driver

LINES = 5000
REQUEST = Served("stable", "percent", "k", 200, (("127.0.0.1:9001", 200),), shadow=True)


async def turns_during(reading: Coroutine[None, None, None]) -> int:
    task, turns = asyncio.create_task(reading), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_others_have_their_turns_while_shares_are_counted() -> None:
    traffic = Traffic(lambda _address: "v1-1")
    await traffic.observe([], 5)
    assert await turns_during(traffic.observe([REQUEST] * LINES, 5)) >= 20
    assert traffic.summary()["requests"] == LINES


async def test_others_have_their_turns_while_keys_of_copies_are_gathered(driver: Driver) -> None:
    await driver.start()
    rollout = driver.loop.rollout
    assert isinstance(rollout, Rollout)
    assert await turns_during(driver.loop.shadow.observe(rollout, [REQUEST] * LINES)) >= 20
