"""Looks at what the router served: counts it, and hands it to the live gates as evidence.

Both outlive the controller, together with how far the access log was read. So nothing counts
twice, and a crash gives neither an unlucky canary a second chance nor a good one a second risk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from controller.core.errors import StoreUnavailable
from controller.core.rollout import Rollout
from controller.core.routing import Routing
from controller.engine.capacity_keeper import CapacityKeeper
from controller.engine.ledger import Ledger
from controller.engine.live_keeper import LiveKeeper
from controller.engine.measures import TrafficTotals
from controller.engine.observer import Observer
from controller.engine.ports import Ports
from controller.engine.records import Served
from controller.engine.shadow_keeper import ShadowKeeper
from controller.engine.slices import in_slices
from controller.engine.strain_keeper import StrainKeeper
from controller.engine.traffic import Traffic
from controller.engine.upstreams import Upstreams

SAVE_SECONDS: Final = 10.0
_COST_TO_INTERVAL: Final = 20  # saving takes at most a twentieth of the time
_COUNTS: Final = "traffic"  # their keys beside those of the evidence
_STRAIN: Final = "strain"


class TrafficWatch:
    def __init__(
        self,
        ports: Ports,
        ledger: Ledger,
        traffic: Traffic,
        live: LiveKeeper,
        shadow: ShadowKeeper,
        strain: StrainKeeper,
        observer: Observer,
        capacity: CapacityKeeper,
        upstreams: Upstreams,
    ) -> None:
        self._ports = ports
        self._ledger = ledger
        self._traffic = traffic
        self._live = live
        self._shadow = shadow
        self._strain = strain
        self._observer = observer
        self._upstreams = upstreams
        self._capacity = capacity
        self.totals = TrafficTotals(traffic.node_at)
        self._reading = asyncio.Lock()  # the access log
        self._save_at = 0.0  # on the monotonic clock

    async def resume(self) -> None:
        """Go on where the controller before us was, in counts, evidence and access log."""
        rollout = _under_way(self._ledger.rollout)
        if rollout is None:
            return
        kept = await asyncio.to_thread(self._ports.store.live_evidence, rollout.id)
        if kept is None:
            return
        position, state = kept
        understood = [
            self._traffic.resume(rollout.id, state.get(_COUNTS)),
            self._live.resume(rollout, state),
            self._strain.resume(rollout, state.get(_STRAIN)),
        ]
        if position is not None and any(understood):
            self._ports.access_log.resume(position)

    async def look(self) -> None:
        """Count what was served since the last look. One look after the other: two at once
        would read the same lines."""
        async with self._reading:
            routing = self._ports.router.state().routing
            share = _share(routing, self._ledger.rollout)
            served = await asyncio.to_thread(self._ports.access_log.read)
            await self._count(served)
            newest = self._ledger.rollout
            rollout = _under_way(newest)
            canary = rollout.version if rollout is not None else None
            await self._traffic.observe(served, share, rollout.id if rollout else None, canary)
            await self._shadow.observe(rollout, served)
            await self._strain.observe(rollout, served, routing)
            nodes, health = tuple(self._observer.nodes.values()), self._observer.health
            now = self._ports.now().timestamp()
            await self._live.observe(newest, served, routing, nodes, health, now)
            if time.monotonic() > self._save_at:
                await self._save(rollout)

    async def close(self) -> None:
        async with self._reading:
            await self._save(_under_way(self._ledger.rollout))

    async def _count(self, served: Iterable[Served]) -> None:
        async for some in in_slices(served):
            self._upstreams.observe(some)
            self.totals.take(some)
            self._capacity.observe(some, self._traffic.node_at)

    async def _save(self, rollout: Rollout | None) -> None:
        if rollout is None or rollout.id != self._traffic.rollout_id:
            return
        try:
            await self._write(rollout)
        except StoreUnavailable as error:  # it is all in memory, and written with what follows
            self._ledger.failed(error)
            self._save_at = time.monotonic() + SAVE_SECONDS

    async def _write(self, rollout: Rollout) -> None:
        began = time.monotonic()
        counts = {_COUNTS: self._traffic.to_json(), _STRAIN: self._strain.to_json()}
        state = self._live.to_json(rollout) | counts
        await self._shadow.save_keys(rollout.id)  # before the position: lines are read once
        position = self._ports.access_log.position
        await asyncio.to_thread(self._ports.store.save_live_evidence, rollout.id, position, state)
        cost = time.monotonic() - began
        self._save_at = began + max(SAVE_SECONDS, _COST_TO_INTERVAL * cost)


def _under_way(newest: Rollout | None) -> Rollout | None:
    return newest if newest is not None and not newest.ended else None


def _share(routing: Routing | None, newest: Rollout | None) -> float | None:
    """What requests are counted under: the share that is asked for, in percent. Where consent
    is required that is always 0, and a step is known by the rollout's."""
    if routing is not None and routing.consent_required and newest is not None:
        return newest.reached_percent
    return routing.canary_percent if routing is not None else None
