"""All live evidence of one rollout: takes observations as they come, gives verdicts at any time.

Of each request a few numbers change, so a look each second is cheap at any traffic; what is kept
grows with the sticky keys, not with the requests. A rollout's evidence outlives the controller as
JSON: to begin anew would give an unlucky canary a second chance, and a good one a second risk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from controller.core.live.event_test import ADDED, STRETCHED, EventTest
from controller.core.live.gate import OF_NODES, Kind, LiveGate
from controller.core.live.judge import judge_degraded, judge_events, judge_memory
from controller.core.live.memory import MemoryTrend
from controller.core.live.observation import NodeSample, Observation
from controller.core.live.slowness import Slowness
from controller.core.verdict import Verdict

_EXPECTED: Final = {Kind.LATENCY: 0.05, Kind.REAL_TIME_FACTOR: 0.05}


class LiveEvidence:
    """Mutable: `observe` and `observe_nodes` add to it, in the order of time."""

    def __init__(self, gates: Sequence[LiveGate]) -> None:
        self.gates = tuple(gates)
        self._tests = {gate.name: _test(gate) for gate in gates if gate.kind not in OF_NODES}
        self._slowness = {
            gate.name: Slowness(gate.kind is Kind.REAL_TIME_FACTOR)
            for gate in gates
            if gate.kind in _EXPECTED
        }
        self._memory: dict[str, MemoryTrend] = {}  # by node and memory
        self._instances: dict[str, str] = {}  # by node
        self._degraded: dict[str, int] = {}
        self._looks = 0

    def observe(self, observations: Iterable[Observation]) -> None:
        for observation in observations:
            for gate in self.gates:
                event = self._event(gate, observation)
                if event is None:
                    continue
                if observation.compared:
                    self._tests[gate.name].observe(observation.canary, observation.key, event)
                else:
                    self._tests[gate.name].learn(observation.key, event)

    def share_changed(self) -> None:
        """To be called when the canary's share of the traffic was changed."""
        for test in self._tests.values():
            test.share_changed()

    def _event(self, gate: LiveGate, seen: Observation) -> bool | None:
        """Whether the request is a bad one to the gate; None where it does not tell."""
        if gate.kind is Kind.SUCCESS:
            return not seen.ok
        if gate.kind in OF_NODES or not seen.ok:
            return None
        if gate.kind is Kind.EMPTY:
            return seen.empty
        if not seen.audio_seconds:
            return None
        slowness = self._slowness[gate.name]
        is_reference = seen.compared and not seen.canary
        return slowness.observe(not is_reference, seen.seconds, seen.audio_seconds)

    def observe_nodes(self, samples: Iterable[NodeSample]) -> None:
        """One look at the nodes; those of stable are passed over."""
        canary = [sample for sample in samples if sample.canary]
        self._looks += bool(canary)
        self._degraded = {
            s.node: self._degraded.get(s.node, 0) + 1 if s.degraded else 0 for s in canary
        }
        for sample in canary:
            self._follow(sample.node, sample.instance)
            if sample.memory_bytes is not None and sample.memory_limit_bytes:
                trend = self._memory.setdefault(f"{sample.node}: {sample.memory}", MemoryTrend())
                trend.observe(sample.at, sample.memory_bytes, sample.memory_limit_bytes)

    def _follow(self, node: str, instance: str) -> None:
        """What a node held before it was started again is no part of its trend."""
        if self._instances.setdefault(node, instance) != instance:
            self._instances[node] = instance
            for key in [key for key in self._memory if key.startswith(f"{node}: ")]:
                del self._memory[key]

    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each gate, in their order."""
        return tuple(self._verdict(gate) for gate in self.gates)

    def _verdict(self, gate: LiveGate) -> Verdict:
        if gate.kind is Kind.MEMORY:
            return judge_memory(gate, self._memory)
        if gate.kind is Kind.DEGRADED:
            return judge_degraded(gate, self._degraded, self._looks)
        return judge_events(gate, self._tests[gate.name])

    def to_json(self) -> dict[str, Any]:
        return {
            "tests": {name: test.to_json() for name, test in self._tests.items()},
            "slowness": {name: s.to_json() for name, s in self._slowness.items()},
            "memory": {node: trend.to_json() for node, trend in self._memory.items()},
            "instances": self._instances,
            "degraded": self._degraded,
            "looks": self._looks,
        }

    @classmethod
    def from_json(cls, gates: Sequence[LiveGate], value: dict[str, Any]) -> LiveEvidence:
        """Gates that the value does not know begin with nothing."""
        evidence = cls(gates)
        for name in evidence._tests.keys() & value["tests"].keys():
            evidence._tests[name] = EventTest.from_json(value["tests"][name])
        for name in evidence._slowness.keys() & value["slowness"].keys():
            evidence._slowness[name] = Slowness.from_json(value["slowness"][name])
        evidence._memory = {
            node: MemoryTrend.from_json(trend) for node, trend in value["memory"].items()
        }
        evidence._instances = dict(value.get("instances", {}))
        evidence._degraded = dict(value["degraded"])
        evidence._looks = value["looks"]
        return evidence


def _test(gate: LiveGate) -> EventTest:
    margin = gate.margin_points / 100
    if gate.kind in _EXPECTED:
        return EventTest(margin, _EXPECTED[gate.kind], STRETCHED)
    return EventTest(margin, rises=ADDED)
