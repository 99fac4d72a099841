"""Starts, restarts, drains and stops nodes until those exist that are wanted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from controller.core.desired import Desired, WantedNode
from controller.core.errors import NodeUnavailable
from controller.core.fleet import FleetConfig
from controller.core.health import Health, NodeHealth
from controller.core.routing import Membership
from controller.core.version import Version
from controller.engine.jobs import Jobs
from controller.engine.ports import NodeClient, NodeSpec, ObservedNode, Runtime

log = logging.getLogger(__name__)
CRASHES_THAT_COUNT = 3  # ends in a row, each before it was healthy for long
_HEALTHY_FOR_LONG_SECONDS = 60.0
_STOP_GRACE_SECONDS = 30.0


@dataclass(slots=True)
class _Attempts:
    """Ends of a node since it was last healthy for long, and the instance counted last."""

    failed: int = 0
    counted: str = ""
    next_start: float = 0.0
    healthy_since: float | None = None


@dataclass(slots=True)
class NodeKeeper:
    """Converges the runtime to the wanted nodes. Every action is a job; none is awaited."""

    config: FleetConfig
    versions: Mapping[str, Version]
    runtime: Runtime
    client: NodeClient
    jobs: Jobs
    observe_soon: Callable[[], None]
    longest_wait_seconds: float = 30.0  # between two starts of a node that crashes
    ending: set[str] = field(default_factory=set)  # instances that were told to stop
    _wanted: frozenset[str] = frozenset()
    _given: dict[str, str] = field(default_factory=dict)  # devices of nodes that start just now
    _attempts: dict[str, _Attempts] = field(default_factory=dict)
    _problems: dict[str, str] = field(default_factory=dict)

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
                self._attempts.pop(name, None)
                self._problems.pop(name, None)
                self._end(node, health.get(name))

    def problem(self, version: str) -> str | None:
        """Why nodes of `version` will not become ready, with their last log lines."""
        for name, problem in self._problems.items():
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
            self._count(node, state)
            self._start(wanted, observed)
        elif state is not None and state.takes_traffic:
            self._forgive(wanted.name)
        elif (
            state is not None
            and state.is_silent(self.config.probes)
            and _another_serves(wanted.name, health)
        ):
            # Its connections stay open until it is gone; then nginx gives the work to others.
            self._begin(f"kill:{node.instance}", lambda: self.runtime.kill(node.name))

    def _forgive(self, name: str) -> None:
        """Forget the crashes of a node that has been healthy for long."""
        attempts, now = self._attempts.get(name), time.monotonic()
        if attempts is None:
            return
        if attempts.healthy_since is None:
            attempts.healthy_since = now
        elif now - attempts.healthy_since > _HEALTHY_FOR_LONG_SECONDS:
            del self._attempts[name]
            self._problems.pop(name, None)

    def _count(self, node: ObservedNode, state: NodeHealth | None) -> None:
        attempts = self._attempts.setdefault(node.name, _Attempts())
        if attempts.counted == node.instance:
            return
        attempts.counted = node.instance
        attempts.failed += 1
        attempts.healthy_since = None
        wait = min(2.0 ** (attempts.failed - 1) - 1, self.longest_wait_seconds)
        attempts.next_start = time.monotonic() + wait
        if attempts.failed >= CRASHES_THAT_COUNT:
            reason = state.reason if state else "its process ended"
            self._begin(f"log:{node.name}", lambda: self._explain(node.name, reason))

    async def _explain(self, name: str, reason: str) -> None:
        attempts = self._attempts.get(name)
        lines = await self.runtime.last_log(name, 5)
        if attempts is not None:
            self._problems[name] = (
                f"{name} ended {attempts.failed} times in a row ({reason}); "
                f"its last words: {lines or 'none'}"
            )

    def _start(self, wanted: WantedNode, observed: Mapping[str, ObservedNode]) -> None:
        attempts = self._attempts.get(wanted.name)
        if attempts is not None and time.monotonic() < attempts.next_start:
            return
        spec = NodeSpec(
            wanted.name, self.versions[wanted.version], self._device(wanted.name, observed)
        )
        self._begin(f"node:{wanted.name}", lambda: self.runtime.start(spec))

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

    def _end(self, node: ObservedNode, state: NodeHealth | None) -> None:
        name = node.name
        if self.jobs.runs(f"node:{name}"):
            return
        self.ending.add(node.instance)  # from here on it gets no new traffic, also if wanted again
        if not node.running or state is None or state.health is Health.STARTING:
            self._begin(f"node:{name}", lambda: self.runtime.stop(name, 2.0))
        else:
            self._begin(f"node:{name}", lambda: self._drain(node))

    async def _drain(self, node: ObservedNode) -> None:
        """Wait until the node's last request has ended, at most `stream_drain`; then stop it,
        unless it is wanted again by then."""
        deadline = time.monotonic() + self.config.stream_drain_seconds
        silent = 0
        while time.monotonic() < deadline and node.address is not None and silent < 3:
            if node.name in self._wanted:
                self.ending.discard(node.instance)
                return
            try:
                answer = await self.client.readiness(node.address, 1.0)
                silent = 0
                if answer.in_flight == 0:
                    break
            except NodeUnavailable:  # once is a busy node; three times, stop() ends it either way
                silent += 1
            await asyncio.sleep(0.2)
        await self.runtime.stop(node.name, _STOP_GRACE_SECONDS)
        log.info("node.stopped name=%s", node.name)

    def _begin(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        async def act() -> None:
            await work()
            self.observe_soon()

        self.jobs.ensure(key, act)


def _another_serves(name: str, health: Mapping[str, NodeHealth]) -> bool:
    """And answered its last probe: one that is only doubted still may be the next to go."""
    return any(
        other != name and state.takes_traffic and not state.fails
        for other, state in health.items()
    )


def _routed(loaded: Membership | None) -> frozenset[str]:
    groups = loaded.groups if loaded is not None else ()
    return frozenset(endpoint.node for group in groups for endpoint in group.endpoints)
