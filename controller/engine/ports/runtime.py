"""What runs nodes: a container engine, or this machine."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Protocol

from controller.core.version import Version


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node that must exist. `device` is auto, cpu, cuda:0, …"""

    name: str
    version: Version
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node as the runtime sees it, running or ended. `instance` differs for every start
    (pid and start time, or container id). `address` is host:port as controller and router
    reach it; None while not known. `version` is the version's name. `paused`: it is there and
    does nothing (stopped by a signal, or by the engine)."""

    name: str
    version: str
    instance: str
    running: bool
    address: str | None
    started_at: datetime.datetime
    exit_status: int | None = None
    device: str = "auto"
    paused: bool = False


class Runtime(Protocol):
    """Runs nodes. Every call is idempotent and raises RuntimeUnavailable on failure.

    Nodes belong to one service and state folder; those of others are never seen or touched.
    Implementations do blocking work in threads: no call blocks the event loop."""

    name: str  # "docker" or "process"

    async def observe(self) -> tuple[ObservedNode, ...]:
        """All nodes of this service, also those that ended and were not removed."""
        ...

    async def start(self, spec: NodeSpec) -> None:
        """Start the node unless it runs; an ended one of that name is replaced. Returns once
        the process or container exists, not when it is ready."""
        ...

    async def stop(self, name: str, grace_seconds: float) -> None:
        """SIGTERM, after `grace_seconds` SIGKILL; then remove. Returns when it is gone."""
        ...

    async def kill(self, name: str) -> None:
        """SIGKILL at once, also when it is frozen; it stays observable as ended."""
        ...

    async def last_log(self, name: str, lines: int = 20) -> str:
        """The end of the node's log, for a message to a person; "" when there is none."""
        ...

    async def close(self) -> None:
        """Release connections; nodes keep running."""
        ...
