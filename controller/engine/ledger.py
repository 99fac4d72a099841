"""The state as it was saved last: the fleet and its newest rollout, each change with its events."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from controller.core.errors import StoreUnavailable
from controller.core.fleet import Fleet
from controller.core.rollout import Rollout
from controller.core.verdict import Verdict
from controller.engine.audit import rollout_events
from controller.engine.ports.store import Store
from controller.engine.records import Event, Intent, Outcome, Saved
from controller.engine.traffic import Traffic

log = logging.getLogger(__name__)
_KEPT_EVENTS: Final = 1000  # while the store cannot write; then the oldest are lost


class Ledger:
    """Nothing of the state is true before it is written down; a change and its events are one
    transaction. What happened to nodes is true all the same, and is told when it can be."""

    def __init__(
        self, store: Store, traffic: Traffic, fleet: Fleet, now: Callable[[], datetime.datetime]
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._now = now
        self._told: tuple[Verdict, ...] = ()  # the verdicts that the audit had last
        self._untold: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._telling = asyncio.Lock()
        self._failing: tuple[datetime.datetime, str] | None = None  # since when, and why
        self.fleet = fleet
        self.rollout: Rollout | None = None
        self.unwritten_stable: str | None = None  # by a rollback that moves traffic meanwhile

    @property
    def problem(self) -> str | None:
        """Why nothing can be written down now, in words."""
        if self._failing is None:
            return None
        since, reason = self._failing
        held = f"`rollback` asks for all traffic on {self.unwritten_stable}. "
        return (
            f"since {since:%H:%M:%S} UTC {reason}. {held if self.unwritten_stable else ''}Until "
            f"then no rollout moves and no command is taken but `rollback`, which moves traffic; "
            f"nodes and traffic are looked after"
        )

    async def load(self) -> Saved:
        """Take over what the controller before us saved; a new fleet is written down."""
        saved = await asyncio.to_thread(self._store.load)
        self.rollout = saved.rollout
        if saved.rollout is not None:
            self._told = saved.rollout.verdicts
        if saved.fleet is not None:
            self.fleet = saved.fleet
        else:
            event = self.event("fleet.created", "fleet", f"{self.fleet.stable} is stable")
            await self.write([event], fleet=self.fleet)
        return saved

    def event(self, kind: str, subject: str, message: str) -> Event:
        return Event(kind, subject, message, "controller", self._now())

    async def tell(self, kind: str, subject: str, message: str) -> None:
        """Write down what happened, and nothing else: now, or when the store can."""
        self._untold.append(self.event(kind, subject, message))
        await self.catch_up()

    async def catch_up(self, changed: bool = False) -> None:
        """Write down what could not be; after a tick whose changes were written (`changed`), that
        they can be. Once a tick: it is how the end of a problem is noticed. A small event may
        find room where a change does not. Raises nothing for a store that fails."""
        async with self._telling:
            while self._untold or (changed and self._failing is not None):
                told = len(self._untold)
                try:
                    await self.write([*self._untold, *(self._recovery() if changed else [])])
                except StoreUnavailable:
                    return
                for _ in range(told):
                    self._untold.popleft()
                if changed:
                    self._failing = None

    def _recovery(self) -> list[Event]:
        if self._failing is None:
            return []
        since, reason = self._failing
        seconds = (self._now() - since).total_seconds()
        message = f"the state is written again; for {seconds:.0f} s {reason}"
        return [self.event("state.recovered", "state", message)]

    def failed(self, error: StoreUnavailable) -> None:
        """A write, here or elsewhere."""
        if self._failing is None:
            log.error("state.not_written reason=%s", error)
            self._failing = self._now(), str(error)

    async def earlier(self) -> Rollout | None:
        """The rollout that made stable what is, where another has begun since."""
        found = await asyncio.to_thread(self._store.promotion_of, self.fleet.stable)
        return None if is_same(found, self.rollout) else found

    async def write(
        self,
        events: Sequence[Event],
        fleet: Fleet | None = None,
        rollout: Rollout | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: Rollout | None = None,
    ) -> None:
        """Raises StoreUnavailable."""
        try:
            await asyncio.to_thread(self._store.save, events, fleet, rollout, handled, earlier)
        except StoreUnavailable as error:
            self.failed(error)
            raise

    async def change(
        self,
        fleet: Fleet,
        rollout: Rollout | None,
        actor: str,
        *,
        command: Event | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: tuple[Rollout | None, Rollout | None] = (None, None),
    ) -> None:
        """Save the new state with the events that it makes; then it is the state.

        `earlier`: a rollout before the newest, as it was and as it is from now on."""
        was, becomes = earlier
        changed = self._earlier_events(was, becomes, actor)
        changed += rollout_events(
            self.rollout, rollout, self._told_of(rollout), self._traffic, actor, self._now()
        )
        first = [command] if command is not None else []
        await self.write([*first, *changed], fleet, rollout, handled, becomes)
        self._take(fleet, rollout, changed)

    def _told_of(self, rollout: Rollout | None) -> tuple[Verdict, ...]:
        return self._told if is_same(self.rollout, rollout) else ()

    def _earlier_events(
        self, before: Rollout | None, after: Rollout | None, actor: str
    ) -> list[Event]:
        """Of a rollout that had ended: no traffic is counted for it, and no gate judged."""
        told = before.verdicts if before is not None else ()
        nothing = Traffic(self._traffic.node_at)
        return rollout_events(before, after, told, nothing, actor, self._now())

    def _take(self, fleet: Fleet, rollout: Rollout | None, events: Sequence[Event]) -> None:
        for event in events:
            log.info("%s id=%s now=%s reason=%s", event.kind, event.subject, event.data["phase"],
                     event.message)  # fmt: skip
            if rollout is not None and event.kind == "rollout.judged":
                self._told = rollout.verdicts
        self.fleet, self.rollout = fleet, rollout


def is_same(before: Rollout | None, after: Rollout | None) -> bool:
    return before is not None and after is not None and before.id == after.id
