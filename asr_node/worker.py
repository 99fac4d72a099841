"""The one thread that owns the model, and the short line of callers before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from asr_node.errors import Busy

T = TypeVar("T")


class Worker:
    """Runs one job at a time, in order. A caller who gives up leaves the line."""

    def __init__(self, max_waiting: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._limit = max_waiting + 1  # one runs, the rest wait
        self._jobs = 0
        self._counting = threading.Lock()

    @property
    def jobs(self) -> int:
        """Running and waiting."""
        return self._jobs

    def check_room(self) -> None:
        if self._jobs >= self._limit:
            raise Busy(self._jobs - 1)

    async def run(self, job: Callable[[], T]) -> T:
        """Raises Busy where the line is full, and whatever the job raises.

        Cancelling the caller takes a waiting job out; one that runs goes on to its end, since
        no thread can be stopped, and its result is dropped."""
        self.check_room()
        self._count(1)
        future = self._thread.submit(job)
        future.add_done_callback(self._finished)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more and drop what waits; does not wait for a job that runs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _finished(self, _: Future[T]) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._jobs += change
