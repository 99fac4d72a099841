"""Asks every node again and again whether it lives, and whether it may take traffic."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from controller.core.errors import NodeUnavailable
from controller.core.health import (
    Health,
    NodeHealth,
    Probe,
    ProbeLimits,
    Weight,
    Witness,
    answered,
    observe,
    silent,
    unclear,
    weigh,
)
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.runtime import ObservedNode
from controller.engine.pulse import Pulse
from controller.engine.rounds import Rounds

log = logging.getLogger(__name__)
LAG_SECONDS: Final = 0.25  # later than this, a missed answer may be our own fault
_SPREAD: Final = 0.8  # of the interval: a round is over before the next begins

SecondOpinion = Callable[[str, float], Witness]  # on a node, since then (seconds since the epoch)


def nobody_else(_node: str, _since: float) -> Witness:
    return Witness.NOTHING


class Prober:
    """Keeps the health of each node. Facts only: what follows from them is for the loop."""

    def __init__(
        self,
        client: NodeClient,
        limits: ProbeLimits,
        on_change: Callable[[], None],
        opinion: SecondOpinion = nobody_else,
    ) -> None:
        self._client = client
        self._limits = limits
        self._on_change = on_change
        self._opinion = opinion
        self._health: dict[str, NodeHealth] = {}
        self._paused: set[str] = set()
        self._serving: set[str] = set()
        self._failing: set[str] = set()  # of those that serve
        self._pulse = Pulse()
        self._life = Rounds(self._ask_life)
        self._word = Rounds(self._ask_word, shift=0.5)

    @property
    def health(self) -> Mapping[str, NodeHealth]:
        return self._health

    @property
    def lag_seconds(self) -> float:
        """The worst of the last minute: how late the prober was itself."""
        return self._pulse.late_since(time.monotonic() - 60)

    def follow(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Take over what the runtime sees: new instances begin anew, ended ones are ended."""
        self._paused = {node.name for node in nodes if node.paused}
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
            self._serving.discard(name)
            self._failing.discard(name)

    async def round(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Ask all running nodes both questions now; returns when each has answered or failed."""
        self._pulse.begin()
        await self._life.at_once(_running(nodes))
        await self._word.at_once(_running(nodes))

    def begin_life_round(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Ask all running nodes whether they live, spread over the interval; returns at once."""
        self._pulse.begin()
        self._life.spread(_running(nodes), _SPREAD * self._limits.interval_seconds)

    def begin_word_round(self, nodes: tuple[ObservedNode, ...]) -> None:
        """Likewise, whether they are ready for traffic."""
        self._word.spread(_running(nodes), _SPREAD * self._limits.readiness_interval_seconds)

    def close(self) -> None:
        self._pulse.end()
        self._life.close()
        self._word.close()

    def presume_healthy(self, name: str, digest: str) -> None:
        """A node that took traffic when the controller before us died: believed until probes
        say otherwise, so that one late answer after our start moves no traffic."""
        if (known := self._health.get(name)) and known.health is Health.STARTING:
            self._set(name, replace(known, health=Health.HEALTHY, digest=digest, reason=""))

    def distrust(self, name: str, reason: str) -> None:
        """Mark a node that serves other model files than its version."""
        if (known := self._health.get(name)) and known.health is not Health.MISMATCH:
            self._set(name, replace(known, health=Health.MISMATCH, reason=reason))

    async def _ask_life(self, node: ObservedNode) -> None:
        began, sent_at = time.monotonic(), time.time()
        error = await self._error(node)
        known = self._known(node)
        if known is None:
            return
        if error is None:
            self._set(node.name, answered(known))
            return
        weight = self._weigh(node.name, known.failing_since or sent_at, began)
        self._set(node.name, silent(known, error, sent_at, weight, self._limits))

    async def _ask_word(self, node: ObservedNode) -> None:
        """Silence here is no failure: who lives and is late with its word is only busy."""
        assert node.address is not None
        timeout = self._limits.timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                answer = await self._client.readiness(node.address, 2 * timeout)
        except TimeoutError:
            return
        except Exception as error:  # whatever it is: the others are to be asked, too
            known = self._known(node)
            if known is not None and not known.fails:  # else it is judged by its silence
                self._set(node.name, unclear(known, _words(node, error), self._limits))
            return
        word = Probe(
            ready=answer.ready,
            reason=answer.reason,
            digest=answer.digest,
            in_flight=answer.in_flight,
            degraded=answer.degraded,
            memory=answer.memory,
        )
        if (known := self._known(node)) is not None:
            self._set(node.name, observe(known, word, self._limits))

    async def _error(self, node: ObservedNode) -> str | None:
        """Why the node does not show that it lives; None where it does."""
        assert node.address is not None
        timeout = self._limits.timeout_seconds
        try:
            async with asyncio.timeout(timeout):
                await self._client.alive(node.address, 2 * timeout)
        except TimeoutError:
            return f"node at {node.address} did not answer within {timeout:g} s"
        except Exception as error:  # whatever it is: the others are to be asked, too
            return _words(node, error)
        return None

    def _weigh(self, name: str, since: float, began: float) -> Weight:
        """Of a probe of this node that `began` (monotonic) and failed; its first failure was
        sent at `since`."""
        witness = Witness.DEAD if name in self._paused else self._opinion(name, since)
        failing = len(self._failing | {name}) if name in self._serving else len(self._failing)
        crowd = 2 * failing > len(self._serving)
        return weigh(witness, self._pulse.late_since(began) > LAG_SECONDS, crowd)

    def _known(self, node: ObservedNode) -> NodeHealth | None:
        """None where there is nothing to learn: it was replaced while we asked, or it ended, or
        is not to be trusted whatever it says."""
        known = self._health.get(node.name)
        if known is None or known.instance != node.instance:
            return None
        return None if known.health in {Health.MISMATCH, Health.ENDED} else known

    def _set(self, name: str, health: NodeHealth) -> None:
        before = self._health.get(name)
        self._health[name] = health
        _put(self._serving, name, health.takes_traffic)
        _put(self._failing, name, health.takes_traffic and health.fails)
        if before is None or (before.health, before.digest) != (health.health, health.digest):
            log.info("node.health name=%s health=%s reason=%s", name, health.health, health.reason)
            self._on_change()


def _running(nodes: tuple[ObservedNode, ...]) -> list[ObservedNode]:
    return [node for node in nodes if node.running and node.address is not None]


def _put(names: set[str], name: str, belongs: bool) -> None:
    names.add(name) if belongs else names.discard(name)


def _words(node: ObservedNode, error: Exception) -> str:
    if isinstance(error, NodeUnavailable):
        return str(error)
    return f"node at {node.address} could not be asked: {error!r}"


def _ended(node: ObservedNode) -> str:
    if node.exit_status is None:
        return "its process ended"
    return f"its process ended with status {node.exit_status}"
