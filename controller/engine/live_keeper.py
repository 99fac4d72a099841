"""Keeps the live evidence of the rollout under way, and what it says."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from controller.core.health import NodeHealth
from controller.core.live.evidence import LiveEvidence
from controller.core.live.gate import MOST_SHARE_PERCENT
from controller.core.live.observation import NodeSample, Observation
from controller.core.rollout import Rollout
from controller.core.routing import BACKUP_GROUP, BASELINE_GROUP, Routing
from controller.core.verdict import Verdict
from controller.engine.ports.runtime import ObservedNode
from controller.engine.records import Served
from controller.engine.slices import in_slices

log = logging.getLogger(__name__)
_Shares = tuple[float, float]  # percent that canary and baseline are to have
# Overload (429) and a recording that ended a worker twice (422) are a node's failures, too.
_REFUSED_BY_NODE: Final = frozenset({422, 429})
# Who gives up after so long may have been kept waiting; who leaves sooner had other reasons.
PATIENCE_SECONDS: Final = 5.0


class LiveKeeper:
    def __init__(self) -> None:
        self._rollout_id = ""
        self._evidence: LiveEvidence | None = None
        self._shares: _Shares | None = None
        self._against = ""  # whom the canary is compared with, where that is not stable
        self._verdicts: tuple[Verdict, ...] = ()

    def resume(self, rollout: Rollout, state: Mapping[str, Any]) -> bool:
        """Go on with the evidence that the controller before us had; whether there was any that
        we understand."""
        if not rollout.plan.live_gates:
            return False
        try:
            evidence = LiveEvidence.from_json(rollout.plan.live_gates, dict(state))
        except (KeyError, TypeError, ValueError) as error:  # of another version of this program
            log.warning("live.evidence_not_understood rollout=%s error=%r", rollout.id, error)
            return False
        self._begin(rollout, evidence)
        return True

    def to_json(self, rollout: Rollout) -> dict[str, Any]:
        """For `resume`."""
        if self._evidence is None or rollout.id != self._rollout_id:
            return {}
        return self._evidence.to_json()

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """One for each live gate of its plan; none before it has had traffic."""
        return self._verdicts if rollout.id == self._rollout_id else ()

    async def observe(
        self,
        rollout: Rollout | None,
        served: Iterable[Served],
        routing: Routing | None,
        nodes: Sequence[ObservedNode],
        health: Mapping[str, NodeHealth],
        now: float,
    ) -> None:
        """What was served since the last look, by which routing, and how the nodes are. `now`:
        Unix time."""
        if rollout is None or rollout.ended or not rollout.plan.live_gates:
            return
        if rollout.reached_percent == 0:
            return
        if rollout.id != self._rollout_id:
            self._begin(rollout, LiveEvidence(rollout.plan.live_gates))
        assert self._evidence is not None
        shares = _shares(routing)
        if shares != self._shares:  # what was logged until now belongs to the shares before
            self._shares = shares
            self._evidence.share_changed()
        elif shares is not None and _comparable(rollout, shares):
            await self._take(self._evidence, observations(rollout, served))
        self._evidence.observe_nodes(_samples(rollout, nodes, health, now))
        self._read()

    def _begin(self, rollout: Rollout, evidence: LiveEvidence) -> None:
        self._rollout_id, self._evidence, self._shares = rollout.id, evidence, None
        self._against = _against(rollout)
        self._read()

    async def _take(self, evidence: LiveEvidence, seen: Iterable[Observation]) -> None:
        async for some in in_slices(seen):
            evidence.observe(some)

    def _read(self) -> None:
        assert self._evidence is not None
        compared = {gate.name for gate in self._evidence.gates if gate.compares}
        self._verdicts = tuple(
            replace(v, reason=v.reason + self._against * (v.gate in compared))
            for v in self._evidence.verdicts()
        )


def _shares(routing: Routing | None) -> _Shares | None:
    return None if routing is None else (routing.canary_percent, routing.baseline_percent)


def _comparable(rollout: Rollout, shares: _Shares) -> bool:
    """Whether requests say anything: not while a baseline that is asked for is away."""
    canary, baseline = shares
    return canary <= MOST_SHARE_PERCENT and (baseline > 0 or not rollout.plan.baseline)


def _against(rollout: Rollout) -> str:
    if not rollout.plan.baseline:
        return ""
    return f"; compared with the baseline: fresh nodes of {rollout.from_version}"


def observations(rollout: Rollout, served: Iterable[Served]) -> Iterable[Observation]:
    """Of this rollout's random traffic: who opted in is nobody's evidence, and what the canary
    before it left unanswered is not this one's fault."""
    groups = {"canary": {rollout.version}, "stable": {rollout.from_version, BACKUP_GROUP}}
    if rollout.plan.baseline:
        groups["baseline"] = {BASELINE_GROUP}
    for request in served:
        if request.decided_by != "percent" or request.group not in groups.get(request.pool, ()):
            continue
        if request.client_left and request.waited_seconds < PATIENCE_SECONDS:
            continue
        compared = request.pool != "stable" or not rollout.plan.baseline
        yield _observation(request, compared)


def _observation(served: Served, compared: bool) -> Observation:
    """Behind the attempt of a canary or a baseline come those of stable, which rescued it: only
    the first is its own."""
    own = served.attempts if served.pool == "stable" else served.attempts[:1]
    failed = served.client_left or not own or any(_failed(status) for _, status in own)
    return Observation(
        canary=served.pool == "canary",
        key=served.key_hash,
        ok=not failed,
        empty=served.characters == 0,
        seconds=served.seconds or 0.0,
        audio_seconds=served.audio_seconds if served.seconds is not None else None,
        at=served.at,
        compared=compared,
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
        sample
        for node in nodes
        if node.running and node.version in versions and node.name in health
        for sample in _looks(node, health[node.name], node.version == rollout.version, now)
    ]


def _looks(
    node: ObservedNode, health: NodeHealth, canary: bool, now: float
) -> Iterator[NodeSample]:
    """One for each memory that the node tells of. What is free counts as its own to fill: what
    others hold of the device is not there to be had."""
    seen = NodeSample(canary, node.name, now, health.degraded is not None, instance=node.instance)
    if not health.memory:
        yield seen
    for memory in health.memory:
        yield replace(
            seen,
            memory_bytes=memory.held_bytes,
            memory_limit_bytes=memory.held_bytes + memory.free_bytes,
            memory="memory" if memory.device == "cpu" else f"GPU memory of {memory.device}",
        )
