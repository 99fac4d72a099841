"""Looks at what the router served: counts it, and hands it to the live gates as evidence."""

from __future__ import annotations

import asyncio

from controller.core.rollout import Rollout
from controller.core.routing import Routing
from controller.engine.ledger import Ledger
from controller.engine.live_keeper import LiveKeeper
from controller.engine.observer import Observer
from controller.engine.ports import Ports
from controller.engine.traffic import Traffic


class TrafficWatch:
    def __init__(
        self,
        ports: Ports,
        ledger: Ledger,
        traffic: Traffic,
        live: LiveKeeper,
        observer: Observer,
    ) -> None:
        self._ports = ports
        self._ledger = ledger
        self._traffic = traffic
        self._live = live
        self._observer = observer
        self._reading = asyncio.Lock()  # the access log

    async def look(self) -> None:
        """Count what was served since the last look. One look after the other: two at once
        would read the same lines."""
        async with self._reading:
            share = _share(self._ports.router.state().routing, self._ledger.rollout)
            served = await asyncio.to_thread(self._ports.access_log.read)
            newest = self._ledger.rollout
            under_way = newest.id if newest is not None and not newest.ended else None
            self._traffic.observe(served, share, under_way)
            nodes, health = tuple(self._observer.nodes.values()), self._observer.health
            now = self._ports.now().timestamp()
            await self._live.observe(newest, served, share, nodes, health, now)

    async def close(self) -> None:
        async with self._reading:
            await self._live.save()


def _share(routing: Routing | None, newest: Rollout | None) -> float | None:
    """What requests are counted under: the share that is asked for, in percent. Where consent
    is required that is always 0, and a step is known by the rollout's."""
    if routing is not None and routing.consent_required and newest is not None:
        return newest.reached_percent
    return routing.canary_percent if routing is not None else None
