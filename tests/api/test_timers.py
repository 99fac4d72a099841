from __future__ import annotations

import asyncio

import pytest

from controller.api.timers import timers


async def test_a_round_that_the_end_cuts_short_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def probe() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    scheduler = timers({probe: 0.01})
    scheduler.start()
    await began.wait()
    scheduler.shutdown(wait=False)
    await ended.wait()
    for _ in range(3):  # until APScheduler has heard of it
        await asyncio.sleep(0)
    assert not caplog.records


async def test_a_round_that_fails_is_logged_and_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times, twice = [], asyncio.Event()

    async def probe() -> None:
        times.append(1)
        if len(times) == 2:
            twice.set()
        raise RuntimeError("no answer")

    scheduler = timers({probe: 0.01})
    scheduler.start()
    async with asyncio.timeout(30):
        await twice.wait()
    scheduler.shutdown(wait=False)
    assert "no answer" in caplog.text
