"""When a node counts as healthy: consecutive answers, never a single one against it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Health(StrEnum):
    STARTING = "starting"  # runs, but has not been ready yet
    HEALTHY = "healthy"  # may take traffic
    UNHEALTHY = "unhealthy"  # was healthy, then failed too often in a row
    MISMATCH = "mismatch"  # serves another digest than its version's: never takes traffic
    ENDED = "ended"  # the process or container is gone


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """Seconds between probes and until one fails; failures and successes in a row that count."""

    interval_seconds: float = 1.0
    timeout_seconds: float = 1.0
    unhealthy_after: int = 3
    healthy_after: int = 2


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """Bytes of one device's memory (`cpu`: the machine's) that a node holds, and that are free."""

    device: str
    held_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One answer of a node. `error` is why there was none; `ready` is its own word."""

    error: str | None = None
    ready: bool = False
    reason: str = ""
    digest: str | None = None
    in_flight: int = 0
    degraded: str | None = None
    memory: tuple[NodeMemory, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What the probes of one instance of a node (one process or container) add up to."""

    instance: str
    health: Health = Health.STARTING
    failures: int = 0
    successes: int = 0
    reason: str = "not ready yet"
    digest: str | None = None
    in_flight: int = 0
    degraded: str | None = None  # why it runs on a lesser device than it was asked to
    memory: tuple[NodeMemory, ...] = ()  # none where the node does not tell

    @property
    def takes_traffic(self) -> bool:
        return self.health is Health.HEALTHY


_BAD: Final = frozenset({Health.UNHEALTHY, Health.ENDED})


def observe(node: NodeHealth, probe: Probe, limits: ProbeLimits) -> NodeHealth:
    """The node's health after one more probe. Pure; the same probes give the same health."""
    if probe.error is not None:
        return _after_failure(node, probe.error, limits)
    seen = replace(
        node,
        failures=0,
        digest=probe.digest or node.digest,
        in_flight=probe.in_flight,
        degraded=probe.degraded,
        memory=probe.memory,
    )
    if not probe.ready:
        return _not_ready(seen, probe.reason)
    successes = node.successes + 1
    if node.health in _BAD and successes < limits.healthy_after:
        return replace(seen, successes=successes, reason=f"answers again ({successes} in a row)")
    return replace(seen, health=Health.HEALTHY, successes=successes, reason="")


def _after_failure(node: NodeHealth, error: str, limits: ProbeLimits) -> NodeHealth:
    failures = node.failures + 1
    failed = replace(node, failures=failures, successes=0)
    if node.health is Health.STARTING:  # a node that loads owes no answer yet
        return replace(failed, reason=error)
    if failures < limits.unhealthy_after:
        return failed
    return replace(
        failed, health=Health.UNHEALTHY, reason=f"{failures} probes in a row failed: {error}"
    )


def _not_ready(node: NodeHealth, reason: str) -> NodeHealth:
    """The node itself says that it must not get traffic: believed at once."""
    if node.health is Health.STARTING:
        return replace(node, successes=0, reason=reason)
    return replace(node, health=Health.UNHEALTHY, successes=0, reason=reason)
