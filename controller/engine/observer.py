"""What is known of the nodes: the runtime's view, the probes, and whether their digest is right."""

from __future__ import annotations

import asyncio
import datetime
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping

from controller.core.desired import NodeView, WantedNode, is_apart, is_backup, is_baseline
from controller.core.health import Health, NodeHealth, ProbeLimits
from controller.core.routing import Membership
from controller.core.version import Version
from controller.engine.golden import GoldenKeeper
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.runtime import ObservedNode, Runtime
from controller.engine.ports.store import Store
from controller.engine.prober import Prober, SecondOpinion, nobody_else
from controller.engine.records import Event

log = logging.getLogger(__name__)


class Observer:
    """All of it can be found out again by a controller that begins anew, but for the digests:
    each is pinned when it is first known, and a version never has another."""

    def __init__(
        self,
        runtime: Runtime,
        client: NodeClient,
        store: Store,
        limits: ProbeLimits,
        versions: Mapping[str, Version],
        on_change: Callable[[], None],
        golden: GoldenKeeper | None = None,
        opinion: SecondOpinion = nobody_else,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._versions = versions
        self._prober = Prober(client, limits, on_change, opinion)
        self._golden = golden
        self.nodes: dict[str, ObservedNode] = {}
        self.looked_at = -math.inf  # monotonic: when the question was asked whose answer `nodes` is
        self.ending: set[str] = set()  # instances that the keeper has told to stop
        self.digests: dict[str, str] = {}
        self._unpinned: dict[str, str] = {}  # version -> why its digest could not be written down

    @property
    def health(self) -> Mapping[str, NodeHealth]:
        return self._prober.health

    async def look(self) -> None:
        """Ask the runtime."""
        began = time.monotonic()
        nodes = await self._runtime.observe()
        if self._golden is not None:
            self._golden.forget(self.nodes.keys() - {node.name for node in nodes})
        self.nodes, self.looked_at = {node.name: node for node in nodes}, began
        self._prober.follow(nodes)

    async def probe(self) -> None:
        """Ask all nodes now; returns when each has answered or failed."""
        await self._prober.round(tuple(self.nodes.values()))
        self._hear_clips()

    async def probe_life(self) -> None:
        """Begin to ask the nodes one after the other whether they live."""
        self._prober.begin_life_round(tuple(self.nodes.values()))

    async def probe_readiness(self) -> None:
        """Likewise, whether they are ready for traffic."""
        self._prober.begin_word_round(tuple(self.nodes.values()))
        self._hear_clips()

    def close(self) -> None:
        self._prober.close()

    @property
    def lag_seconds(self) -> float:
        """How late probes were by our own fault, at worst in the last minute."""
        return self._prober.lag_seconds

    def adopt(self, loaded: Membership | None) -> None:
        """Take over the nodes that an adopted router sends traffic to."""
        for group in loaded.groups if loaded is not None else ():
            for endpoint in group.endpoints:
                node = self.nodes.get(endpoint.node)
                if node is None or not node.running or node.address != endpoint.address:
                    continue
                if digest := self.digests.get(node.version):
                    self._prober.presume_healthy(node.name, digest)
                    if self._golden is not None:
                        self._golden.presume_right(node)

    def views(self) -> dict[str, NodeView]:
        """The nodes as `core.desired` sees them."""
        return {
            name: NodeView(name, node.version, node.address, self._is_ready(node))
            for name, node in self.nodes.items()
        }

    def addresses(self, version: str) -> list[str]:
        """The ready nodes of a version that are neither backup nor baseline."""
        return self._addresses(version, lambda name: not is_apart(name))

    def baseline_addresses(self, version: str) -> list[str]:
        """The ready nodes of a version that are a baseline."""
        return self._addresses(version, is_baseline)

    def _addresses(self, version: str, is_meant: Callable[[str], bool]) -> list[str]:
        return [
            view.address
            for view in self.views().values()
            if view.ready and view.version == version and is_meant(view.name) and view.address
        ]

    def ready(self, nodes: Iterable[WantedNode]) -> int:
        """How many of them are ready."""
        views = self.views()
        return sum(node.name in views and views[node.name].ready for node in nodes)

    def idle_addresses(self, version: str) -> list[str]:
        """The ready nodes of a version, those without traffic first: the backup."""
        ready = [v for v in self.views().values() if v.ready and v.version == version]
        ready.sort(key=lambda view: not is_backup(view.name))
        return [view.address for view in ready if view.address]

    def defect(self, version: str) -> str | None:
        """Which node of `version` has other model files or hears wrong, in words."""
        for name, node in self.nodes.items():
            health = self.health.get(name)
            if node.version != version or health is None:
                continue
            if health.health is Health.MISMATCH:
                return f"{name}: {health.reason}"
            if wrong := self.hears_wrong(node):
                return f"{name}: {wrong}"
        return None

    def hears_wrong(self, node: ObservedNode) -> str | None:
        """What the golden clips say against it."""
        return self._golden.wrong(node) if self._golden is not None else None

    def astray(self) -> dict[str, str]:
        """The nodes that no longer hear right what others of their version do, and why."""
        if self._golden is None:
            return {}
        found = {name: self._golden.astray(node) for name, node in self.nodes.items()}
        return {name: why for name, why in found.items() if why is not None}

    async def trust(self, now: datetime.datetime) -> None:
        """Pin a version's digest when it is first seen; distrust nodes that have another."""
        for name, node in sorted(self.nodes.items()):
            health = self.health.get(name)
            if health is None or health.digest is None or node.version not in self._versions:
                continue
            pinned = self.digests.get(node.version)
            if pinned is None:
                try:
                    await self._pin(node, health.digest, now)
                except Exception as error:  # a full disk: it waits, and the other nodes do not
                    self._tell_unpinned(node.version, str(error))
            elif pinned != health.digest:
                self._prober.distrust(
                    name,
                    f"it loaded other model files than {node.version} is made of: digest "
                    f"{health.digest[:12]} instead of {pinned[:12]}",
                )

    def _hear_clips(self) -> None:
        if self._golden is not None:
            self._golden.converge(n for n in self.nodes.values() if self._is_healthy(n))

    def _is_ready(self, node: ObservedNode) -> bool:
        return self._is_healthy(node) and (self._golden is None or self._golden.lets(node))

    def _is_healthy(self, node: ObservedNode) -> bool:
        known = self.health.get(node.name)
        if known is None or known.instance != node.instance or not known.takes_traffic:
            return False
        if node.instance in self.ending:
            return False
        pinned = self.digests.get(node.version)
        return node.running and pinned is not None and known.digest == pinned

    async def _pin(self, node: ObservedNode, digest: str, now: datetime.datetime) -> None:
        message = f"digest {digest[:12]} as {node.name} has it"
        event = Event("version.pinned", node.version, message, "controller", now)
        version = self._versions[node.version]
        await asyncio.to_thread(self._store.save_version, version, digest, event)
        self.digests[node.version] = digest

    def _tell_unpinned(self, version: str, error: str) -> None:
        if self._unpinned.get(version) != error:
            log.warning("version.not_pinned name=%s error=%s", version, error)
        self._unpinned[version] = error
