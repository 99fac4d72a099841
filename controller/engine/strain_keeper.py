"""Watches whether stable becomes slower while its requests are copied."""

from __future__ import annotations

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

    def observe(
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
        for request in served:
            if _tells(request):
                seconds, audio_seconds = request.seconds or 0.0, request.audio_seconds or 0.0
                self._strain.observe(copying, request.key_hash, seconds, audio_seconds)
        if copying and rollout is not None:
            for gate in rollout.plan.strain_gates:
                self._look(gate)

    def _begin(self, rollout: Rollout) -> None:
        self._rollout_id, self._looks, self._verdicts = rollout.id, {}, {}

    def _look(self, gate: StrainGate) -> None:
        number = look(gate.counted(), self._strain.requests)
        if number == 0 or number > self._looks.get(gate.name, 0):
            self._looks[gate.name] = number
            self._verdicts[gate.name] = self._strain.judge(gate)


def _tells(request: Served) -> bool:
    known = request.seconds is not None and bool(request.audio_seconds)
    return known and request.pool == "stable" and request.status < 400
