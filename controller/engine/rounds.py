"""Asks all nodes the same question, round by round, and never all in one instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from controller.engine.ports.runtime import ObservedNode

_TOGETHER_SECONDS: Final = 0.005  # those that are due within it are asked together

Ask = Callable[[ObservedNode], Coroutine[Any, Any, None]]


class Rounds:
    """Whoever owes an answer is asked the next question of a spread round as soon as it has
    answered or failed: with a time-out as long as the interval each would else be due a moment
    too early, and every second one left out."""

    def __init__(self, ask: Ask, shift: float = 0.0) -> None:
        """`ask` raises nothing. `shift`: by which part of a round this question comes after
        another of the same nodes, so that none has to answer both at once."""
        self._ask = ask
        self._shift = shift
        self._asked: dict[str, asyncio.Task[None]] = {}  # by node
        self._due: dict[str, ObservedNode] = {}  # to be asked when they have answered or failed
        self._rounds: set[asyncio.Task[None]] = set()

    async def at_once(self, nodes: Sequence[ObservedNode]) -> None:
        """Ask all of them now; returns when every one has answered or failed."""
        for node in nodes:
            self._begin(node)
        while self._asked:
            await asyncio.wait(self._asked.values())

    def spread(self, nodes: Sequence[ObservedNode], over_seconds: float) -> None:
        """Ask them one after the other, evenly over so many seconds from now; returns at once."""
        task = asyncio.create_task(self._spread(nodes, over_seconds))
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    def close(self) -> None:
        for task in (*self._rounds, *self._asked.values()):
            task.cancel()

    async def _spread(self, nodes: Sequence[ObservedNode], over_seconds: float) -> None:
        began, count = time.monotonic(), len(nodes)
        parts = sorted(((n / count + self._shift) % 1.0, n) for n in range(count))
        for part, number in parts:
            wait = began + part * over_seconds - time.monotonic()
            if wait > _TOGETHER_SECONDS:
                await asyncio.sleep(wait)
            if nodes[number].name in self._asked:
                self._due[nodes[number].name] = nodes[number]
            else:
                self._begin(nodes[number])

    def _begin(self, node: ObservedNode) -> None:
        if node.name not in self._asked:
            task = asyncio.create_task(self._ask(node))
            self._asked[node.name] = task
            task.add_done_callback(lambda task: self._end(node.name, task))

    def _end(self, name: str, task: asyncio.Task[None]) -> None:
        self._asked.pop(name, None)
        node = self._due.pop(name, None)
        if node is not None and not task.cancelled():  # else it is closed
            self._begin(node)
