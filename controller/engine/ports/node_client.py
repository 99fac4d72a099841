"""What is asked of a node over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from controller.core.health import NodeMemory
from controller.core.shadow.pair import Heard


@dataclass(frozen=True, slots=True)
class Readiness:
    """A node's answer to GET /readyz and /version."""

    ready: bool
    reason: str
    version: str
    digest: str | None
    in_flight: int
    degraded: str | None = None  # why it runs on a lesser device than it was asked to
    memory: tuple[NodeMemory, ...] = ()


class NodeClient(Protocol):
    """Talks to nodes over HTTP. Raises NodeUnavailable; `transcribe` NoTranscript where the node
    was reached and had time, so that another try gives no other answer."""

    async def alive(self, address: str, timeout_seconds: float) -> None: ...

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness: ...

    async def streams(self, address: str, timeout_seconds: float) -> int:
        """How many WebSockets are open."""
        ...

    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str: ...

    async def history(
        self, address: str, after: int, limit: int, timeout_seconds: float
    ) -> tuple[list[Heard], int]:
        """Up to `limit` rows behind the cursor `after`, and the cursor to go on with."""
        ...
