"""What the controller does every so often. APScheduler owns the timers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

Round = Callable[[], Awaitable[Any]]


def timers(rounds: Mapping[Round, float]) -> AsyncIOScheduler:
    """Each round, every so many seconds; a late one waits for none, and two run at most at once."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    for work, seconds in rounds.items():
        scheduler.add_job(
            _until_the_end(work), "interval", seconds=seconds, coalesce=True, max_instances=2,
            misfire_grace_time=None,
        )  # fmt: skip
    return scheduler


def _until_the_end(work: Round) -> Callable[[], Awaitable[None]]:
    """A round that the controller's end cuts short is no error, but APScheduler would log it as
    one, with a traceback."""

    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await work()

    return run
