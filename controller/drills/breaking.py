"""What each fault does, with its journal: nothing is done before its undoing is on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.adapters.drill_folder import DrillFolder
from controller.adapters.state_folder import StateFolder
from controller.core.drill.catalogue import Drill, Fault
from controller.core.drill.journal import Faults, Journal, Target, Undo, undo
from controller.core.errors import Refused, RouterUnavailable
from controller.drills.controller_process import kill_controller

_FROZEN_SECONDS, _AWAKE_SECONDS = 0.7, 0.3
_RELOADS, _RELOADS_PER_SECOND = 200, 5
_TO_UNDO: Final = {
    Fault.FREEZE: Undo.THAW,
    Fault.SLOW: Undo.THAW,
    Fault.FULL_DISK: Undo.ALLOW_WRITING,
    Fault.CUT: Undo.RECONNECT,
}


@dataclass(slots=True)
class Breaker:
    """Breaks what the drill says and mends it again; `journal` is what is on the disk."""

    drill: Drill
    faults: Faults
    drills: DrillFolder
    state: StateFolder
    journal: Journal
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """`inject` returns once what it is doing at this moment is done, and does no more: a
        thread cannot be cancelled, and what it breaks after `restore` nobody would mend."""
        self._over.set()

    def write(self, journal: Journal) -> None:
        self.drills.write_journal(journal)
        self.journal = journal

    async def inject(self, targets: Sequence[Target]) -> None:
        """Returns when the fault is over, or at once where it is not one that lasts. Raises
        Refused where it cannot be done; what is done already is undone by `restore`."""
        journal = self.journal
        if (what := _TO_UNDO.get(self.drill.fault)) is not None:
            for target in targets:
                journal = journal.to_undo(what, target)
        await asyncio.to_thread(self.write, journal)
        if self._over.is_set():
            return
        match self.drill.fault:
            case Fault.KILL:
                await self._each(self.faults.kill, targets)
            case Fault.FREEZE:
                await self._each(self.faults.freeze, targets)
            case Fault.CUT:
                await self._each(self.faults.cut, targets)
            case Fault.SLOW:
                await self._slow(targets)
            case Fault.WORKERS:
                await self._each(self.faults.kill_workers, targets)
            case Fault.FULL_DISK:
                await self._each(self.faults.forbid_writing, targets)
                await self._pause(self.drill.lasts_seconds)
                await self._each(self.faults.allow_writing, targets)
            case Fault.ROUTER:
                await asyncio.to_thread(self.faults.kill_router)
            case Fault.RELOADS:
                await self._reload()
            case Fault.CONTROLLER:
                await asyncio.to_thread(kill_controller, self.state)

    async def restore(self) -> None:
        """Undo all that the journal names."""
        await asyncio.to_thread(undo, self.journal, self.faults)

    async def _each(self, act: Callable[[Target], None], targets: Sequence[Target]) -> None:
        """All at once: the nodes of one fault fail together."""
        if not self._over.is_set():
            await asyncio.gather(*(asyncio.to_thread(act, target) for target in targets))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def _slow(self, targets: Sequence[Target]) -> None:
        with contextlib.suppress(Refused):  # it was taken for dead and started anew
            for _ in range(round(self.drill.lasts_seconds)):
                await self._each(self.faults.freeze, targets)
                await self._pause(_FROZEN_SECONDS)
                await self._each(self.faults.thaw, targets)
                await self._pause(_AWAKE_SECONDS)

    async def _reload(self) -> None:
        began = time.monotonic()
        for number in range(_RELOADS):
            await self._pause(began + number / _RELOADS_PER_SECOND - time.monotonic())
            if self._over.is_set():
                return
            with contextlib.suppress(RouterUnavailable):  # then requests fail, which is counted
                await asyncio.to_thread(self.faults.reload_router)
