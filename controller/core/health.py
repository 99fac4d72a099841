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


class Witness(StrEnum):
    """What another source says of a node since its probes began to fail."""

    NOTHING = "nothing"
    ALIVE = "alive"  # it answered a user through the router
    DEAD = "dead"  # the router could not reach it, or the runtime sees that it is stopped


class Weight(StrEnum):
    """What a failed probe is worth."""

    COUNTS = "counts"
    DOUBTED = "doubted"  # counts later: when somebody agrees, or when it goes on for long
    VOID = "void"  # says nothing
    FIRST = "first"  # counts as the first, whatever was before


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """Seconds between two questions whether a node lives, and whether it is ready; until either
    has failed; failures and successes in a row that count."""

    interval_seconds: float = 1.0
    timeout_seconds: float = 1.0
    unhealthy_after: int = 3
    healthy_after: int = 2
    readiness_interval_seconds: float = 1.0

    @property
    def believed_after(self) -> int:
        """Doubted failures in a row, each of a new connection, that nothing spoke against."""
        return 2 * self.unhealthy_after


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """Bytes of one device's memory (`cpu`: the machine's) that a node holds, and that are free."""

    device: str
    held_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A node's own word: whether it is ready for traffic, or why not."""

    ready: bool = False
    reason: str = ""
    digest: str | None = None
    in_flight: int = 0
    degraded: str | None = None
    memory: tuple[NodeMemory, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What the probes of one instance of a node (one process or container) add up to.

    In a row: `failures` to answer at all, `doubted` ones, answers that were no word on its
    readiness (`unclear`), and `successes`. `failing_since`: when the first failed probe was
    sent, in seconds since the epoch."""

    instance: str
    health: Health = Health.STARTING
    failures: int = 0
    doubted: int = 0
    unclear: int = 0
    successes: int = 0
    failing_since: float | None = None
    reason: str = "not ready yet"
    digest: str | None = None
    in_flight: int = 0
    degraded: str | None = None  # why it runs on a lesser device than it was asked to
    memory: tuple[NodeMemory, ...] = ()  # none where the node does not tell

    @property
    def takes_traffic(self) -> bool:
        return self.health is Health.HEALTHY

    @property
    def fails(self) -> bool:
        """Whether its last probe found no answer."""
        return self.failures + self.doubted > 0

    def is_silent(self, limits: ProbeLimits) -> bool:
        """Judged dead: not merely late, nor unready by its own word."""
        return self.health is Health.UNHEALTHY and self.failures >= limits.unhealthy_after


_BAD: Final = frozenset({Health.UNHEALTHY, Health.ENDED})


def weigh(witness: Witness, late: bool, crowd: bool) -> Weight:
    """One mistaken prober must not kill a fleet. `late`: the prober itself was, while it waited
    for the answer; `crowd`: more than half of the nodes fail at once."""
    match witness:
        case Witness.DEAD:
            return Weight.COUNTS
        case Witness.ALIVE:
            return Weight.FIRST
    if late:
        return Weight.VOID
    return Weight.DOUBTED if crowd else Weight.COUNTS


def answered(node: NodeHealth) -> NodeHealth:
    """The node's health after it has shown that it lives."""
    if not node.fails:
        return node
    return replace(node, failures=0, doubted=0, failing_since=None)


def silent(
    node: NodeHealth, error: str, sent_at: float, weight: Weight, limits: ProbeLimits
) -> NodeHealth:
    """The node's health after it has not shown that it lives."""
    failures, doubted, since = node.failures, node.doubted, node.failing_since or sent_at
    match weight:
        case Weight.VOID:
            return node
        case Weight.FIRST:
            failures, doubted, since = 1, 0, sent_at
        case Weight.DOUBTED if doubted + 1 < limits.believed_after:
            doubted += 1
        case Weight.DOUBTED | Weight.COUNTS:
            failures, doubted = failures + doubted + 1, 0
    failed = replace(node, failures=failures, doubted=doubted, successes=0, failing_since=since)
    if node.health is Health.STARTING:  # a node that loads owes no answer yet
        return replace(failed, reason=error)
    if failures < limits.unhealthy_after:
        return failed
    return replace(
        failed, health=Health.UNHEALTHY, reason=f"{failures} probes in a row failed: {error}"
    )


def observe(node: NodeHealth, probe: Probe, limits: ProbeLimits) -> NodeHealth:
    """The node's health after its word. Pure; the same probes give the same health."""
    seen = replace(
        answered(node),
        unclear=0,
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


def unclear(node: NodeHealth, error: str, limits: ProbeLimits) -> NodeHealth:
    """The node's health after an answer that was no word on its readiness. It gets no traffic
    when that goes on; it is not judged dead by that."""
    puzzled = replace(node, unclear=node.unclear + 1, successes=0)
    if node.health is Health.STARTING:
        return replace(puzzled, reason=error)
    if node.health is not Health.HEALTHY or puzzled.unclear < limits.unhealthy_after:
        return puzzled
    return replace(
        puzzled,
        health=Health.UNHEALTHY,
        reason=f"{puzzled.unclear} times in a row it did not say whether it is ready: {error}",
    )


def _not_ready(node: NodeHealth, reason: str) -> NodeHealth:
    """The node itself says that it must not get traffic: believed at once."""
    if node.health is Health.STARTING:
        return replace(node, successes=0, reason=reason)
    return replace(node, health=Health.UNHEALTHY, successes=0, reason=reason)
