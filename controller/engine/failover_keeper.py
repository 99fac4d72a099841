"""Keeps watch over failover: what the backup does for stable, and which nodes must wait.

All of it is found out again by a controller that begins anew: what nginx serves with tells it
that the backup helps, and the time for which stable must be well begins again."""

from __future__ import annotations

import datetime
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.desired import NodeView, is_apart, is_backup, main_version
from controller.core.failover import Failover, Help, Strength, follow
from controller.core.flapping import Steadiness, let_in, watch
from controller.core.fleet import FleetConfig
from controller.core.routing import BACKUP_GROUP
from controller.engine.capacity_keeper import CapacityKeeper
from controller.engine.ledger import Ledger
from controller.engine.observer import Observer
from controller.engine.ports.router import RouterState
from controller.engine.records import Event

log = logging.getLogger(__name__)
_KEPT_EVENTS: Final = 1000  # while the store cannot write; then the oldest are lost


@dataclass(slots=True)
class FailoverCounts:
    """Since this controller began. `failovers` are times that the backup began to help,
    `failbacks` that stable was alone again, `held_out` that a node was."""

    failovers: int = 0
    failbacks: int = 0
    held_out: int = 0


class FailoverKeeper:
    def __init__(
        self,
        config: FleetConfig,
        observer: Observer,
        ledger: Ledger,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._config = config
        self._observer = observer
        self._ledger = ledger
        self._now = now
        self._steadiness: Mapping[str, Steadiness] = {}
        self._untold: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._write_error: str | None = None  # of the last attempt
        self.capacity = CapacityKeeper(config)
        self.state = Failover()
        self.counts = FailoverCounts()

    @property
    def shares(self) -> bool:
        return self.state.help is Help.SHARES

    @property
    def held(self) -> frozenset[str]:
        """The nodes that are held out."""
        return _held(self._steadiness)

    def held_reason(self, name: str) -> str | None:
        """Why a node that may be ready gets no traffic while others are, in words."""
        node = self._steadiness.get(name)
        return _words(node) if node is not None and node.held else None

    def resume(self, router: RouterState) -> None:
        """Go on with what an adopted router does."""
        now = self._now().timestamp()
        self.capacity.begin(now)
        routing, loaded = router.routing, router.loaded
        if routing is None or loaded is None or (group := loaded.group(routing.stable)) is None:
            return
        reason = "it did when this controller began"
        if routing.stable == BACKUP_GROUP:
            self.state = Failover(Help.SERVES, reason, now, began=True)
        elif any(is_backup(endpoint.node) for endpoint in group.endpoints):
            self.state = Failover(Help.SHARES, reason, now, began=True)
        else:
            self.state = Failover(began=True)

    def look(self, router: RouterState) -> None:
        """Once a tick, before what is desired is computed. A store that cannot write keeps
        nobody from failing over: what there is to tell is told at the end of the tick."""
        views, now = self._observer.views(), self._now().timestamp()
        rules, stable = self._config.failover, self._ledger.fleet.stable
        ready = {name: view.ready for name, view in views.items()}
        steadiness = watch(self._steadiness, ready, now, rules)
        main = main_version(self._config, self._ledger.fleet, views, router.routing)
        state = follow(self.state, now, self._strength(main, views, steadiness, now), rules)
        digest, health = self._observer.digests.get(stable), self._observer.health
        helps = state.help is not Help.NONE
        news = self.capacity.check_backup(now, stable, digest, views, health, helps)
        self._untold.extend(self._node_events(steadiness))
        self._untold.extend(self._events(state, main, now))
        if news is not None:
            self._untold.append(self._event(news[0], "fleet", news[1]))
        self._count(steadiness, state)
        self._steadiness, self.state = steadiness, state

    async def tell(self) -> None:
        """Write down what there is to tell; what cannot be written waits for the next tick."""
        if not self._untold:
            return
        try:
            await self._ledger.write(tuple(self._untold))
        except Exception as error:  # whatever it is: it must not stop the tick
            if str(error) != self._write_error:
                log.exception("failover.untold events=%s", len(self._untold))
            self._write_error = str(error)
            return
        self._untold.clear()
        self._write_error = None

    def _strength(
        self,
        main: str,
        views: Mapping[str, NodeView],
        steadiness: Mapping[str, Steadiness],
        now: float,
    ) -> Strength:
        held, capacity = _held(steadiness), self.capacity
        of_main = [v.name for v in views.values() if v.version == main and not is_apart(v.name)]
        members = let_in([name for name in of_main if views[name].ready], held)
        backups = [v for v in views.values() if is_backup(v.name) and v.ready]
        alike = [view.name for view in backups if view.version == main]
        capacity.measure(now, of_main, members, alike, views.keys())
        return Strength(
            members=len(members),
            steady=len(members - held),
            wanted=self._config.stable_nodes,
            backups=len(backups),
            alike=len(alike),
            load=capacity.load,
            room=capacity.room,
        )

    def _node_events(self, after: Mapping[str, Steadiness]) -> list[Event]:
        was, held = self.held, _held(after)
        out = [self._event("node.held_out", n, _words(after[n])) for n in sorted(held - was)]
        back = sorted(name for name in was - held if name in after)
        return out + [self._event("node.let_in", n, "well for long enough") for n in back]

    def _events(self, after: Failover, main: str, now: float) -> list[Event]:
        before = self.state
        if not _is_news(before, after):
            return []
        seconds = now - before.since if before.since is not None else 0.0
        if after.help is Help.NONE:
            kind, what = "failover.ended", f"{main} serves alone after {seconds:.0f} s with help"
        else:
            changed = before.help is not Help.NONE
            kind = "failover.changed" if changed else "failover.begun"
            what = f"the backup {after.help} for {main}"
        data = {"was": before.help.value, "now": after.help.value, "seconds": round(seconds, 1)}
        log.info("%s help=%s seconds=%.1f reason=%s", kind, after.help, seconds, after.reason)
        return [self._event(kind, "fleet", f"{what}: {after.reason}", data)]

    def _count(self, steadiness: Mapping[str, Steadiness], after: Failover) -> None:
        self.counts.held_out += len(_held(steadiness) - self.held)
        if not _is_news(self.state, after):
            return
        self.counts.failovers += self.state.help is Help.NONE
        self.counts.failbacks += after.help is Help.NONE

    def _event(
        self, kind: str, subject: str, message: str, data: Mapping[str, Any] | None = None
    ) -> Event:
        return Event(kind, subject, message, "controller", self._now(), data or {})


def _is_news(before: Failover, after: Failover) -> bool:
    """A fleet that comes up over its backup has not failed over."""
    return before.began and after.began and before.help is not after.help


def _held(steadiness: Mapping[str, Steadiness]) -> frozenset[str]:
    return frozenset(name for name, node in steadiness.items() if node.held)


def _words(node: Steadiness) -> str:
    return f"held out until it has been well for {node.hold_seconds:.0f} s: it fell again and again"
