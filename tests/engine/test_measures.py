from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from controller.engine.measures import WINDOW_SECONDS, Timing, TrafficTotals, watch_lag
from controller.engine.records import Served

NODES = {"127.0.0.1:9001": "v1-1", "127.0.0.1:9002": "v2-1"}


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_worst_is_that_of_the_last_minute() -> None:
    clock = Seconds()
    timing = Timing(clock)
    for at, seconds in ((0, 0.5), (10, 3.0), (20, 1.0), (30, 0.1)):
        clock.now = at
        timing.record(seconds)
    assert timing.worst == 3.0
    clock.now = 10 + WINDOW_SECONDS + 1
    assert timing.worst == 1.0
    clock.now = 200
    assert timing.worst == 0.0
    assert (timing.count, timing.total, timing.age) == (4, 4.6, 170)


async def test_an_event_loop_that_is_held_up_lags() -> None:
    lag = Timing()
    task = asyncio.create_task(watch_lag(lag))
    await asyncio.sleep(0)
    time.sleep(0.6)  # noqa: ASYNC251 - as a blocking call in a coroutine would
    while lag.count == 0:
        await asyncio.sleep(0.01)
    task.cancel()
    assert lag.worst >= 0.3


def served(status: int, *attempts: tuple[str, int | None]) -> Served:
    return Served("canary", "percent", "k", status, attempts)


def test_an_attempt_is_counted_for_the_node_that_made_it() -> None:
    totals = TrafficTotals(NODES.get)
    totals.take([served(200, ("127.0.0.1:9002", 503), ("127.0.0.1:9001", 200))] * 2)
    totals.take([served(499, ("127.0.0.1:9001", None))])
    assert totals.attempts == {("v2-1", "503"): 2, ("v1-1", "200"): 2, ("v1-1", "none"): 1}


def test_a_request_is_counted_by_what_the_client_got() -> None:
    totals = TrafficTotals(NODES.get)
    totals.take([served(status) for status in (200, 302, 422, 429, 499, 502)])
    assert totals.requests == {
        ("canary", "answered"): 2,
        ("canary", "refused"): 2,
        ("canary", "left"): 1,
        ("canary", "failed"): 1,
    }


def test_the_failures_of_a_node_that_has_left_are_still_its_own() -> None:
    nodes = dict(NODES)
    totals = TrafficTotals(nodes.get)
    totals.take([served(200, ("127.0.0.1:9001", 200))])
    nodes.clear()
    totals.take([served(502, ("127.0.0.1:9001", 502), ("v1.stable", 502))])
    assert totals.attempts["v1-1", "502"] == 1
    assert totals.attempts["unknown", "502"] == 1
