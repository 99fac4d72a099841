"""X-Request-ID as an idempotency key: a request that comes twice is done once.

A router that lost a node's answer sends the request again, under the same id. Only the same id
*with the same content* is the same request: clients that send one constant id exist, and must
never get the text of another recording.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from asr_node.transcriber import Transcribed

KEPT_SECONDS: Final = 600.0
KEPT_ANSWERS: Final = 4096
KEPT_BYTES: Final = 32 * 1024 * 1024
WORD_BYTES: Final = 200  # of a word with its times, roughly

Result = asyncio.Future[Transcribed]


@dataclass(slots=True)
class _Work:
    task: asyncio.Task[Transcribed]
    callers: int = 0


@dataclass(frozen=True, slots=True)
class _Kept:
    done: Transcribed
    size: int
    until: float  # of the monotonic clock


class Replays:
    """Lives on the event loop. Failures are not kept: trying again may help."""

    def __init__(
        self,
        kept_seconds: float = KEPT_SECONDS,
        kept_answers: int = KEPT_ANSWERS,
        kept_bytes: int = KEPT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._kept_answers = kept_answers
        self._kept_bytes = kept_bytes
        self._clock = clock
        self._running: dict[Hashable, _Work] = {}
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0

    @contextmanager
    def joined(
        self,
        key: Hashable | None,
        work: Callable[[], Coroutine[Any, Any, Transcribed]],
        release: Callable[[], None],
    ) -> Iterator[tuple[Result, bool]]:
        """The result to come, and whether it is an earlier caller's. None is like no other key.

        The work goes on while one of its callers is inside, and is cancelled with the last.
        `release` is called as soon as nothing needs what `work` was going to use."""
        self._forget_old()
        kept = self._kept.get(key) if key is not None else None
        if kept is not None:
            release()
            yield _done(kept.done), True
            return
        known = self._running.get(key) if key is not None else None
        if known is not None:
            release()
        with self._called(key, known or self._begin(key, work, release)) as task:
            yield task, known is not None

    def _begin(
        self,
        key: Hashable | None,
        work: Callable[[], Coroutine[Any, Any, Transcribed]],
        release: Callable[[], None],
    ) -> _Work:
        begun = _Work(asyncio.create_task(work()))
        begun.task.add_done_callback(lambda _: release())
        begun.task.add_done_callback(lambda _: self._finish(key, begun))
        if key is not None:
            self._running[key] = begun
        return begun

    @contextmanager
    def _called(self, key: Hashable | None, work: _Work) -> Iterator[asyncio.Task[Transcribed]]:
        work.callers += 1
        try:
            yield work.task
        finally:
            work.callers -= 1
            if work.callers == 0 and not work.task.done():
                self._drop(key, work)  # at once: whoever comes now begins anew
                work.task.cancel()

    def _finish(self, key: Hashable | None, work: _Work) -> None:
        self._drop(key, work)
        failed = work.task.cancelled() or work.task.exception() is not None
        if failed or key is None or key in self._kept:
            return
        done = work.task.result()
        self._kept[key] = _Kept(done, _size(done), self._clock() + self._kept_seconds)
        self._bytes += self._kept[key].size
        while len(self._kept) > self._kept_answers or self._bytes > self._kept_bytes:
            self._forget_first()

    def _drop(self, key: Hashable | None, work: _Work) -> None:
        if self._running.get(key) is work:
            del self._running[key]

    def _forget_old(self) -> None:
        now = self._clock()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._forget_first()

    def _forget_first(self) -> None:
        _, oldest = self._kept.popitem(last=False)
        self._bytes -= oldest.size


def _done(result: Transcribed) -> Result:
    future: Result = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def _size(done: Transcribed) -> int:
    """In bytes, generously."""
    recognition = done.recognition
    words = sum(len(segment.words) + 1 for segment in recognition.segments)
    return 4 * (2 * len(recognition.text) + len(recognition.raw_text)) + WORD_BYTES * (words + 5)
