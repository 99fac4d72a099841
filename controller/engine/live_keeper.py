"""Keeps the live evidence of the rollout under way: it outlives the controller, so that a crash
gives neither an unlucky canary a second chance nor a good one a second risk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from controller.core.health import NodeHealth
from controller.core.live.evidence import LiveEvidence
from controller.core.live.observation import NodeSample, Observation
from controller.core.rollout import Rollout
from controller.core.verdict import Verdict
from controller.engine.ports import AccessLog, ObservedNode, Store
from controller.engine.records import Served

SAVE_SECONDS: Final = 10.0
# Overload (429) and a recording that ended a worker twice (422) are a node's failures, too.
_REFUSED_BY_NODE: Final = frozenset({422, 429})


class LiveKeeper:
    def __init__(self, store: Store, access_log: AccessLog) -> None:
        self._store = store
        self._access_log = access_log
        self._rollout_id = ""
        self._evidence: LiveEvidence | None = None
        self._verdicts: tuple[Verdict, ...] = ()
        self._saved_at = 0.0

    async def resume(self, rollout: Rollout | None) -> None:
        """Go on where the controller before us was, in the evidence and in the access log."""
        if rollout is None or rollout.ended or not rollout.plan.live_gates:
            return
        kept = await asyncio.to_thread(self._store.live_evidence, rollout.id)
        if kept is not None:
            position, state = kept
            self._begin(rollout, LiveEvidence.from_json(rollout.plan.live_gates, state))
            if position is not None:
                self._access_log.resume(position)

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """One for each live gate of its plan; none before it has had traffic."""
        return self._verdicts if rollout.id == self._rollout_id else ()

    async def observe(
        self,
        rollout: Rollout | None,
        served: Iterable[Served],
        nodes: Sequence[ObservedNode],
        health: Mapping[str, NodeHealth],
        now: float,
    ) -> None:
        """What was served since the last look, and how the nodes are. `now`: Unix time."""
        if rollout is None or rollout.ended or rollout.percent == 0 or not rollout.plan.live_gates:
            return
        if rollout.id != self._rollout_id:
            self._begin(rollout, LiveEvidence(rollout.plan.live_gates))
        evidence = self._evidence
        assert evidence is not None
        evidence.observe(map(_observation, filter(_is_random, served)))
        evidence.observe_nodes(_samples(rollout, nodes, health, now))
        self._read()
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            await self.save()

    async def save(self) -> None:
        """Evidence and how far the log was read, together: nothing counts twice."""
        if self._evidence is None:
            return
        self._saved_at = time.monotonic()
        state, position = self._evidence.to_json(), self._access_log.position
        await asyncio.to_thread(self._store.save_live_evidence, self._rollout_id, position, state)

    def _begin(self, rollout: Rollout, evidence: LiveEvidence) -> None:
        self._rollout_id, self._evidence = rollout.id, evidence
        self._read()

    def _read(self) -> None:
        assert self._evidence is not None
        self._verdicts = tuple(Verdict(**asdict(v)) for v in self._evidence.verdicts())


def _is_random(served: Served) -> bool:
    """Who opted in is nobody's evidence, and who left before the answer tells nothing."""
    return served.decided_by == "percent" and not served.client_left


def _observation(served: Served) -> Observation:
    """Behind a canary's attempt come those of stable, which rescued it: only the first is its."""
    canary = served.pool == "canary"
    own = served.attempts[:1] if canary else served.attempts
    return Observation(
        canary=canary,
        key=served.key_hash,
        ok=bool(own) and not any(_failed(status) for _, status in own),
        empty=served.characters == 0,
        seconds=served.seconds or 0.0,
        audio_seconds=served.audio_seconds if served.seconds is not None else None,
        at=served.at,
    )


def _failed(status: int | None) -> bool:
    return status is None or status >= 500 or status in _REFUSED_BY_NODE


def _samples(
    rollout: Rollout,
    nodes: Sequence[ObservedNode],
    health: Mapping[str, NodeHealth],
    now: float,
) -> list[NodeSample]:
    versions = {rollout.version, rollout.from_version}
    return [
        NodeSample(
            canary=node.version == rollout.version,
            node=node.name,
            at=now,
            degraded=health[node.name].degraded is not None,
        )
        for node in nodes
        if node.running and node.version in versions and node.name in health
    ]
