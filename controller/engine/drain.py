"""Whether a node that is to go has done what it took: requests, streams and batches."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from controller.core.errors import NodeUnavailable
from controller.engine.ports.node_client import NodeClient

_READINESS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 2.0  # between two looks at streams and batches
_TIMEOUT_SECONDS: Final = 5.0

BatchesOver = Callable[[str], Awaitable[bool]]  # by address; raises NodeUnavailable


async def no_batches(_address: str) -> bool:
    return True


@dataclass(slots=True)
class Drain:
    """Of one node. After `patience` questions in a row that it does not answer it is taken for
    one that does nothing any more."""

    address: str
    client: NodeClient
    batches_over: BatchesOver
    patience: int
    _silent: int = 0
    _untold: int = 0  # answers that lack what its streams or batches are
    _looked_at: float = float("-inf")

    async def is_over(self) -> bool:
        """Ask it once."""
        try:
            answer = await self.client.readiness(self.address, _READINESS_SECONDS)
        except NodeUnavailable:  # a busy node, or a dead one that is not judged yet
            self._silent += 1
            return self._silent >= self.patience
        self._silent = 0
        now = time.monotonic()
        if answer.in_flight or now - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = now
        try:
            over = await self._has_nothing_open()
        except NodeUnavailable:  # for a moment, as while its disk is full; or it knows no batches
            self._untold += 1
            return self._untold >= self.patience
        self._untold = 0
        return over

    async def _has_nothing_open(self) -> bool:
        streams = await self.client.streams(self.address, _TIMEOUT_SECONDS)
        return streams == 0 and await self.batches_over(self.address)
