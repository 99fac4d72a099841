"""Watches whether stable becomes slower while its requests are copied."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from controller.core.consequence import of_gates
from controller.core.rollout import Rollout
from controller.core.routing import Routing
from controller.core.shadow.judge import look
from controller.core.shadow.strain import Strain, StrainGate
from controller.core.verdict import Verdict
from controller.engine.records import Served
from controller.engine.slices import in_slices

log = logging.getLogger(__name__)


class StrainKeeper:
    """How fast stable is alone is learned at all times, with or without a rollout."""

    def __init__(self) -> None:
        self._strain = Strain()
        self._rollout_id = ""
        self._copying: bool | None = None  # at the last look
        self._looks: dict[str, int] = {}
        self._verdicts: dict[str, Verdict] = {}

    def resume(self, rollout: Rollout, state: Mapping[str, Any] | None) -> bool:
        """Go on with what the controller before us knew; whether that was anything."""
        if state is None:
            return False
        try:
            self._strain = Strain.from_json(dict(state))
        except (KeyError, TypeError, ValueError) as error:  # of another version of this program
            log.warning("strain.not_understood rollout=%s error=%r", rollout.id, error)
            return False
        self._begin(rollout)
        return True

    def to_json(self) -> dict[str, Any]:
        """For `resume`."""
        return self._strain.to_json()

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """Of its gates on strain; before anything was copied, what was said before."""
        gates = rollout.plan.strain_gates
        if rollout.id != self._rollout_id or not self._verdicts:
            return tuple(of_gates(gates, rollout.verdicts))
        return tuple(self._verdicts[gate.name] for gate in gates)

    async def observe(
        self, rollout: Rollout | None, served: Iterable[Served], routing: Routing | None
    ) -> None:
        """What was served since the last look, by which routing."""
        copying = routing is not None and routing.shadow is not None
        before, self._copying = self._copying, copying
        if before != copying:
            return  # some were served while nothing was copied, and some while others were
        if copying and rollout is not None and rollout.id != self._rollout_id:
            self._strain.begin_anew()
            self._begin(rollout)
        await self._take(copying, served)
        if copying and rollout is not None:
            await self._look(rollout.plan.strain_gates)

    def _begin(self, rollout: Rollout) -> None:
        self._rollout_id, self._looks, self._verdicts = rollout.id, {}, {}

    async def _take(self, copying: bool, served: Iterable[Served]) -> None:
        async for some in in_slices(filter(_tells, served)):
            for request in some:
                seconds, audio_seconds = request.seconds or 0.0, request.audio_seconds or 0.0
                self._strain.observe(copying, request.key_hash, seconds, audio_seconds)

    async def _look(self, gates: Iterable[StrainGate]) -> None:
        """In a thread: of many users it takes a while. Nothing is observed meanwhile."""
        numbers = {gate: look(gate.counted(), self._strain.requests) for gate in gates}
        due = {g: n for g, n in numbers.items() if n == 0 or n > self._looks.get(g.name, 0)}
        found = {gate.name: await asyncio.to_thread(self._strain.judge, gate) for gate in due}
        self._looks |= {gate.name: number for gate, number in due.items()}
        self._verdicts = self._verdicts | found


def _tells(request: Served) -> bool:
    known = request.seconds is not None and bool(request.audio_seconds)
    return known and request.pool == "stable" and request.status < 400
