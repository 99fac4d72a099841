"""Which utterances go through the model next, and together."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from asr_node.errors import Busy, NotReady, RequestRefused
from asr_node.recognition import Priority
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Samples

MAX_BATCH: Final = 8
MAX_RATIO: Final = 2.0  # longest to shortest: the rest is padding, which costs as much as speech
MAX_PADDED: Final = 60 * SAMPLE_RATE  # samples, padding and all: memory grows with it
SHORT: Final = SAMPLE_RATE  # below a second all are equal
GATHER_SECONDS: Final = 0.005  # for others whose bodies are being read or decoded
GATHER_STEP: Final = 0.001


class Operation(StrEnum):
    TRANSCRIBE = "transcribe"
    SPEECH = "speech"


@dataclass(eq=False, slots=True)
class Request:
    """One recording, from its arrival to its last utterance."""

    id: str
    samples: Samples
    priority: Priority
    suspect: bool = False  # it has ended a worker: it never shares a batch again


@dataclass(eq=False, slots=True)
class Item:
    """A piece of a request: what the model takes at once."""

    request: Request
    operation: Operation
    samples: Samples
    options: DecodeOptions
    number: int  # of arrival
    alone: bool = False
    result: asyncio.Future[Any] = field(default_factory=asyncio.Future)

    @property
    def place(self) -> tuple[Priority, int]:
        return (self.request.priority, self.number)


def batch_of(waiting: Sequence[Item], most: int) -> list[Item]:
    """The first one, and those after it that fit: as urgent, with the same options, of similar
    length. `waiting` is in order and not empty."""
    first = waiting[0]
    batch = [first]
    if _is_single(first):
        return batch
    shortest = longest = max(first.samples.size, SHORT)
    for item in waiting[1:]:
        if len(batch) == most or item.request.priority is not first.request.priority:
            break
        if _is_single(item) or item.options != first.options:
            continue
        size = max(item.samples.size, SHORT)
        low, high = min(shortest, size), max(longest, size)
        if high <= MAX_RATIO * low and high * (len(batch) + 1) <= MAX_PADDED:
            batch.append(item)
            shortest, longest = low, high
    return batch


def _is_single(item: Item) -> bool:
    return item.alone or item.request.suspect or item.operation is Operation.SPEECH


class Scheduler:
    """The waiting line. Workers take from it; nobody pushes. Lives on the event loop."""

    def __init__(self, max_waiting: int, arriving: Callable[[], int]) -> None:
        """`arriving`: how many requests are admitted and not yet here."""
        self._limit = max_waiting
        self._arriving = arriving
        self._requests: set[Request] = set()
        self._waiting: list[Item] = []
        self._arrived = asyncio.Event()
        self._numbers = itertools.count()
        self.idle = 0  # workers that have nothing to do

    @property
    def requests(self) -> int:
        """Running and waiting."""
        return len(self._requests)

    @property
    def waiting(self) -> int:
        """Utterances."""
        return len(self._waiting)

    def check_room(self, priority: Priority = Priority.LIVE) -> None:
        """Raises Busy. Work that can wait takes no place from work that cannot."""
        before = sum(request.priority <= priority for request in self._requests)
        if before > self._limit:  # one runs, the rest wait
            raise Busy(before - 1)

    @contextmanager
    def entered(self, request: Request) -> Iterator[None]:
        """Raises Busy."""
        self.check_room(request.priority)
        self._requests.add(request)
        try:
            yield
        finally:
            self._requests.discard(request)

    async def run(
        self, request: Request, operation: Operation, samples: Samples, options: DecodeOptions
    ) -> Any:
        """What the worker answers. Raises RequestRefused.

        A caller who gives up leaves the line; what runs already goes on to its end."""
        item = Item(request, operation, samples, options, next(self._numbers))
        self.put(item)
        try:
            return await item.result
        finally:
            if item in self._waiting:
                self._waiting.remove(item)

    def put(self, item: Item) -> None:
        """At its place by priority and arrival: one that comes back goes first again."""
        bisect.insort(self._waiting, item, key=lambda other: other.place)
        self._arrived.set()

    def fail_all(self, error: Callable[[], RequestRefused]) -> None:
        for item in self._waiting:
            if not item.result.done():
                item.result.set_exception(error())
        self._waiting.clear()

    async def wait(self) -> None:
        """Until there may be something to take."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()

    async def gather(self) -> None:
        """A moment, where others are on their way that could go along."""
        until = time.monotonic() + GATHER_SECONDS
        while (  # noqa: ASYNC110 (many ways to change it)
            self._arriving() > self.requests
            and len(self._waiting) < MAX_BATCH
            and time.monotonic() < until
        ):
            await asyncio.sleep(GATHER_STEP)

    def take(self) -> list[Item]:
        """The next batch; empty where another worker was faster. Leaves idle workers a share."""
        self._waiting = [item for item in self._waiting if not item.result.done()]
        if not self._waiting:
            return []
        share = -(-len(self._waiting) // (1 + self.idle))
        batch = batch_of(self._waiting, min(MAX_BATCH, share))
        taken = set(batch)
        self._waiting = [item for item in self._waiting if item not in taken]
        return batch


def not_ready(reason: str) -> Callable[[], RequestRefused]:
    return lambda: NotReady(reason)
