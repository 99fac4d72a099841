"""Asks every node, every second, whether it lives and may take traffic."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.core.errors import NodeUnavailable
from controller.core.health import Health, NodeHealth, Probe, ProbeLimits, observe
from controller.engine.ports import NodeClient, ObservedNode

log = logging.getLogger(__name__)
LAG_SECONDS = 0.25  # later than this, a missed answer may be our own fault


class Prober:
    """Keeps the health of each node. Facts only: what follows from them is for the loop."""

    def __init__(
        self, client: NodeClient, limits: ProbeLimits, on_change: Callable[[], None]
    ) -> None:
        self._client = client
        self._limits = limits
        self._on_change = on_change
        self._health: dict[str, NodeHealth] = {}
        self._due: float | None = None
        self._doubted_rounds = 0

    @property
    def health(self) -> Mapping[str, NodeHealth]:
        return self._health

    def follow(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Take over what the runtime sees: new instances begin anew, ended ones are ended."""
        for node in nodes:
            known = self._health.get(node.name)
            begun = known is not None and known.health is Health.ENDED and node.running
            if known is None or known.instance != node.instance or begun:
                known = NodeHealth(node.instance)  # `begun`: seen between creation and start
            if not node.running and known.health is not Health.ENDED:
                known = replace(known, health=Health.ENDED, successes=0, reason=_ended(node))
            self._set(node.name, known)
        for name in self._health.keys() - {node.name for node in nodes}:
            del self._health[name]

    async def round(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Probe all running nodes at once. A round that began late counts no failures."""
        now = time.monotonic()
        late = self._due is not None and now - self._due > LAG_SECONDS
        self._due = now + self._limits.interval_seconds
        running = [(n, n.address) for n in nodes if n.running and n.address is not None]
        probes = await asyncio.gather(*(self._probe(address) for _, address in running))
        answers = {node.name: probe for (node, _), probe in zip(running, probes, strict=True)}
        doubtful = self._doubt(answers, late)
        for node, _ in running:
            self._take(node, answers[node.name], doubtful)

    def presume_healthy(self, name: str, digest: str) -> None:
        """A node that took traffic when the controller before us died: believed until probes
        say otherwise, so that one late answer after our start moves no traffic."""
        if (known := self._health.get(name)) and known.health is Health.STARTING:
            self._set(name, replace(known, health=Health.HEALTHY, digest=digest, reason=""))

    def distrust(self, name: str, reason: str) -> None:
        """Mark a node that serves other model files than its version."""
        if (known := self._health.get(name)) and known.health is not Health.MISMATCH:
            self._set(name, replace(known, health=Health.MISMATCH, reason=reason))

    def _doubt(self, answers: Mapping[str, Probe], late: bool) -> bool:
        """Whether this round says more about us than about the nodes: it began late, or more
        than half of several healthy nodes fail at once. Doubt ends when it goes on."""
        healthy = [answers[n] for n, h in self._health.items() if h.takes_traffic and n in answers]
        failed = sum(probe.error is not None for probe in healthy)
        if not late and not (len(healthy) > 2 and failed * 2 > len(healthy)):
            self._doubted_rounds = 0
            return False
        self._doubted_rounds += 1
        return self._doubted_rounds <= 2 * self._limits.unhealthy_after

    def _take(self, node: ObservedNode, probe: Probe, doubtful: bool) -> None:
        known = self._health.get(node.name)
        if known is None or known.instance != node.instance:
            return  # replaced while we asked
        if known.health in {Health.MISMATCH, Health.ENDED}:
            return
        if probe.error is not None and doubtful and known.health is Health.HEALTHY:
            return
        self._set(node.name, observe(known, probe, self._limits))

    async def _probe(self, address: str) -> Probe:
        timeout = self._limits.timeout_seconds
        try:
            async with asyncio.timeout(timeout):  # for both together: a round must not last longer
                await self._client.alive(address, timeout)
                answer = await self._client.readiness(address, timeout)
        except NodeUnavailable as error:
            return Probe(error=str(error))
        except TimeoutError:
            return Probe(error=f"node at {address} did not answer within {timeout:g} s")
        except Exception as error:  # whatever it is: the others are to be asked, too
            return Probe(error=f"node at {address} could not be asked: {error!r}")
        return Probe(
            ready=answer.ready,
            reason=answer.reason,
            digest=answer.digest,
            in_flight=answer.in_flight,
            degraded=answer.degraded,
            memory=answer.memory,
        )

    def _set(self, name: str, health: NodeHealth) -> None:
        before = self._health.get(name)
        self._health[name] = health
        if before is None or (before.health, before.digest) != (health.health, health.digest):
            log.info("node.health name=%s health=%s reason=%s", name, health.health, health.reason)
            self._on_change()


def _ended(node: ObservedNode) -> str:
    if node.exit_status is None:
        return "its process ended"
    return f"its process ended with status {node.exit_status}"
