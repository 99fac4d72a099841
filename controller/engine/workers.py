"""Workers that share what there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


async def run_workers(work: Callable[[], Coroutine[None, None, None]], count: int) -> None:
    """Run `work` so many times at the same time. The first error cancels the others, and is raised
    as it is."""
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(count):
                workers.create_task(work())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
