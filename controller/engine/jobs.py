"""Work that takes time and that a tick never waits for; its results are facts of a later tick."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Jobs:
    """At most one job per key at a time. `on_done` is called whenever one ends."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._errors: dict[str, str] = {}
        self._on_done = on_done

    def ensure(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start `work` unless a job of that key runs; whether it was started."""
        if key in self._tasks:
            return False
        task = asyncio.create_task(self._run(key, work), name=key)
        self._tasks[key] = task
        return True

    def runs(self, key: str) -> bool:
        return key in self._tasks

    def error(self, key: str) -> str | None:
        """Why the last job of that key failed; None where it succeeded."""
        return self._errors.get(key)

    def forget_error(self, key: str) -> None:
        self._errors.pop(key, None)

    def cancel(self, key: str) -> None:
        if task := self._tasks.get(key):
            task.cancel()

    async def close(self) -> None:
        """Cancel everything and wait until it has ended."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
            self._errors.pop(key, None)
        except Exception as error:  # a failed job must never end the loop; it is a fact
            if self._errors.get(key) != str(error):
                log.warning("job.failed key=%s error=%s", key, error)
            self._errors[key] = str(error) or type(error).__name__
        finally:
            self._tasks.pop(key, None)
            self._on_done()
