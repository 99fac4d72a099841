"""A long access log beside all else that the controller does meanwhile."""

from __future__ import annotations

import asyncio
import itertools

from tests.engine.conftest import Driver
from tests.engine.requests_served import served

LINES = 2000


async def test_others_have_their_turns_while_a_long_log_is_counted(driver: Driver) -> None:
    (address, *_) = (node.address for node in driver.world.nodes.values())
    assert address is not None
    driver.world.served += [served((address, 200), at=1.0)] * LINES
    looking = asyncio.create_task(driver.loop.observe_traffic())
    counted = []
    while not looking.done():
        counted.append(driver.loop.totals.requests.total())
        await asyncio.sleep(0)
    steps = [after - before for before, after in itertools.pairwise(counted)]
    assert 0 < max(steps) <= LINES // 5
    assert driver.loop.totals.requests.total() == LINES
