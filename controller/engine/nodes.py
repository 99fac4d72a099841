"""Starts, restarts, drains and stops nodes until those exist that are wanted."""

from __future__ import annotations

import asyncio
import collections
import logging
import math
import time
from collections.abc import Awaitable, Callable, Container, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.core.desired import Desired, WantedNode
from controller.core.errors import RuntimeUnavailable
from controller.core.fleet import FleetConfig
from controller.core.health import Health, NodeHealth
from controller.core.routing import Membership
from controller.core.version import Version
from controller.engine.crashes import CRASHES_THAT_END, Crashes
from controller.engine.drain import BatchesOver, Drain, no_batches
from controller.engine.fencing import why_fenced
from controller.engine.jobs import Jobs
from controller.engine.last_words import last_words
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.runtime import NodeSpec, ObservedNode, Runtime
from controller.engine.prober import SecondOpinion, nobody_else

log = logging.getLogger(__name__)
_STOP_GRACE_SECONDS = 30.0
_UNREADY_GRACE_SECONDS = 2.0  # of those that serve nobody

_LOG_LINES = 50
_LOG_SECONDS = 2.0  # a node's next start waits no longer for the last words of the one before

Tell = Callable[[str, str, str], Coroutine[Any, Any, None]]  # an event: kind, subject, message


@dataclass(slots=True)
class NodeKeeper:
    """Converges the runtime to the wanted nodes. Every action is a job; none is awaited."""

    config: FleetConfig
    versions: Mapping[str, Version]
    runtime: Runtime
    client: NodeClient
    jobs: Jobs
    observe_soon: Callable[[], None]
    tell: Tell
    opinion: SecondOpinion = nobody_else
    ending: set[str] = field(default_factory=set)  # instances that were told to stop
    crashes: Crashes = field(default_factory=Crashes)
    fences: collections.Counter[str] = field(default_factory=collections.Counter)  # by pool
    restarts: collections.Counter[str] = field(default_factory=collections.Counter)
    kill_again_seconds: float = 1.0  # after a kill that failed
    batches_over: BatchesOver = no_batches
    looked_at: Callable[[], float] = time.monotonic  # when the runtime was asked last (monotonic)
    _fenced: dict[str, float] = field(default_factory=dict)  # instances: no kill until (monotonic)
    _wanted: frozenset[str] = frozenset()
    _started: dict[str, float] = field(default_factory=dict)  # by node, monotonic
    _given: dict[str, str] = field(default_factory=dict)  # devices of nodes that start just now

    def fence(
        self,
        desired: Desired,
        observed: Mapping[str, ObservedNode],
        health: Mapping[str, NodeHealth],
        ready: Container[str],
        astray: Mapping[str, str],
    ) -> None:
        """Begin to kill those that are judged dead, or `astray` for a reason: they hear wrong.
        `ready`: the nodes that may get traffic."""
        others = [wanted for wanted in desired.nodes if wanted.name in ready]
        known = {node.instance for node in observed.values()}
        self._fenced = {i: until for i, until in self._fenced.items() if i in known}
        for wanted in desired.nodes:
            node, state = observed.get(wanted.name), health.get(wanted.name)
            if node is None or state is None or self._is_fenced(node):
                continue
            limits = self.config.probes
            wrong = astray.get(node.name)
            why = why_fenced(wanted, node, state, others, health, limits, self.opinion, wrong)
            if why is not None:
                self._fence(wanted, node, why)

    def converge(
        self,
        desired: Desired,
        observed: Mapping[str, ObservedNode],
        health: Mapping[str, NodeHealth],
        loaded: Membership | None,
    ) -> None:
        """Begin what is missing and end what is too much."""
        self._wanted = frozenset(node.name for node in desired.nodes)
        for wanted in desired.nodes:
            self._keep(wanted, observed, health)
        if self.jobs.runs("router.load"):  # the nodes that it loads are not in `loaded` yet
            return
        routed = _routed(loaded)
        for name, node in observed.items():
            if not desired.wants(name) and name not in routed:
                self.crashes.forget(name)
                self._end(node, health)

    def problem(self, version: str) -> str | None:
        """Why nodes of `version` will not become ready, with their last log lines."""
        for name, problem in self.crashes.problems().items():
            if name.rpartition("-")[0] == version:
                return problem
        return None

    def _keep(
        self,
        wanted: WantedNode,
        observed: Mapping[str, ObservedNode],
        health: Mapping[str, NodeHealth],
    ) -> None:
        node, state = observed.get(wanted.name), health.get(wanted.name)
        if self.jobs.runs(f"node:{wanted.name}"):
            return  # it is being started or stopped this moment: no crash, and no second start
        if node is None:
            self._start(wanted, observed)
        elif not node.running:
            if self.looked_at() < self._started.get(node.name, -math.inf):
                return  # it was seen before its last start, and is no end of that one
            reason = state.reason if state else "its process ended"
            self._count(node, reason)
            if not self.jobs.runs(f"log:{node.name}"):  # a start may take its log away
                self._start(wanted, observed, reason)
        elif state is not None and state.takes_traffic and self.crashes.forgive(node.name):
            words = "healthy for a minute after it had failed"
            self._begin(f"log:{node.name}", lambda: self.tell("node.recovered", node.name, words))

    def _is_fenced(self, node: ObservedNode) -> bool:
        return time.monotonic() < self._fenced.get(node.instance, -math.inf)

    def _fence(self, wanted: WantedNode, node: ObservedNode, why: str) -> None:
        self._fenced[node.instance] = math.inf

        async def kill() -> None:
            try:
                await self.runtime.kill(node.name)
            except Exception:
                self._fenced[node.instance] = time.monotonic() + self.kill_again_seconds
                raise
            self.fences[wanted.pool.value] += 1
            await self.tell("node.fenced", node.name, f"killed: {why}")

        self._begin(f"kill:{node.instance}", kill)

    def _count(self, node: ObservedNode, reason: str) -> None:
        if self.crashes.take(node):
            self._begin(f"log:{node.name}", lambda: self._explain(node, reason))

    async def _explain(self, node: ObservedNode, reason: str) -> None:
        name = node.name
        problem = self.crashes.explain(name, reason, await self._last_words(node))
        if self.crashes.count(name) == CRASHES_THAT_END:
            again = f"tried again every {self.crashes.longest_wait_seconds:g} s"
            await self.tell("node.failed", name, f"{problem} ({again})")

    async def _last_words(self, node: ObservedNode) -> str:
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                log_lines = await self.runtime.last_log(node.name, _LOG_LINES)
        except (RuntimeUnavailable, OSError) as error:  # the last: TimeoutError, too
            log.warning("node.log_unread name=%s error=%r", node.name, error)
            return ""
        return last_words(log_lines, node.started_at)

    def _start(
        self, wanted: WantedNode, observed: Mapping[str, ObservedNode], after: str | None = None
    ) -> None:
        """`after`: why the one before it ended."""
        if self.crashes.must_wait(wanted.name):
            return
        spec = NodeSpec(
            wanted.name, self.versions[wanted.version], self._device(wanted.name, observed)
        )

        async def start() -> None:
            try:
                await self.runtime.start(spec)
            except Exception:
                self.crashes.postpone(wanted.name)
                raise
            self._started[wanted.name] = time.monotonic()
            if after is not None:
                await self._restarted(wanted, after)

        self._begin(f"node:{wanted.name}", start)

    async def _restarted(self, wanted: WantedNode, after: str) -> None:
        self.restarts[wanted.pool.value] += 1
        if not self.crashes.has_failed(wanted.name):  # that is told once, not every half minute
            count, words = self.crashes.count(wanted.name), self.crashes.last_words(wanted.name)
            why = f"{after}; its last words: {words}" if words else after
            await self.tell("node.restarted", wanted.name, f"{why}; its end no. {count} in a row")

    def _device(self, name: str, observed: Mapping[str, ObservedNode]) -> str:
        """A device for a new node: the one that it had, else the least used."""
        devices = self.config.devices
        if not devices:
            return "auto"
        own = observed.get(name)
        if own is not None and own.device in devices:
            return own.device
        used = {n: d for n, d in self._given.items() if self.jobs.runs(f"node:{n}")}
        used |= {n.name: n.device for n in observed.values() if n.running}
        used.pop(name, None)
        self._given[name] = chosen = min(devices, key=list(used.values()).count)
        return chosen

    def _end(self, node: ObservedNode, health: Mapping[str, NodeHealth]) -> None:
        name, state = node.name, health.get(node.name)
        if self.jobs.runs(f"node:{name}"):
            return
        self.ending.add(node.instance)  # from here on it gets no new traffic, also if wanted again
        # Of another controller's nodes nobody knows yet whether they serve: asking them tells.
        loads = name in self._started and (state is None or state.health is Health.STARTING)
        if not node.running or loads:
            self._begin(f"node:{name}", lambda: self.runtime.stop(name, _UNREADY_GRACE_SECONDS))
        else:
            self._begin(f"node:{name}", lambda: self._drain(node, health))

    async def _drain(self, node: ObservedNode, health: Mapping[str, NodeHealth]) -> None:
        """Wait until the node's last request, stream and batch have ended, at most `stream_drain`;
        then stop it, unless it is wanted again by then. `health` is of every moment: one that is
        judged dead is killed, so that what it holds is given to others."""
        deadline = time.monotonic() + self.config.stream_drain_seconds
        patience = self.config.probes.believed_after
        drain = Drain(node.address or "", self.client, self.batches_over, patience)
        while time.monotonic() < deadline and node.address is not None:
            if node.name in self._wanted:
                self.ending.discard(node.instance)
                return
            state = health.get(node.name)
            if state is not None and state.is_silent(self.config.probes):
                await self._bury(node.name)
                return
            if await drain.is_over():
                break
            await asyncio.sleep(0.2)
        await self.runtime.stop(node.name, _STOP_GRACE_SECONDS)
        log.info("node.stopped name=%s", node.name)

    async def _bury(self, name: str) -> None:
        """What it holds waits for an answer that it will not give."""
        try:
            await self.runtime.kill(name)
        except RuntimeUnavailable as error:  # to stop it is another way
            log.warning("node.not_killed name=%s error=%s", name, error)
        await self.runtime.stop(name, _UNREADY_GRACE_SECONDS)
        log.info("node.buried name=%s", name)

    def _begin(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        async def act() -> None:
            await work()
            self.observe_soon()

        self.jobs.ensure(key, act)


def _routed(loaded: Membership | None) -> frozenset[str]:
    groups = loaded.groups if loaded is not None else ()
    return frozenset(endpoint.node for group in groups for endpoint in group.endpoints)
