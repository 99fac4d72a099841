"""Rounds of probes whose client fails in ways that nobody foresaw."""

from __future__ import annotations

from controller.core.health import Health, ProbeLimits
from controller.engine.ports import ObservedNode, Readiness
from controller.engine.prober import Prober
from tests.engine.fakes import NOON, FakeClient, FakeWorld

LIMITS = ProbeLimits()


class OddClient(FakeClient):
    """One node's answer raises what is no sign of a node that is away."""

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        if address in self.world.broken:
            raise OverflowError("a number without end")
        return await super().readiness(address, timeout_seconds)


def node(name: str) -> ObservedNode:
    return ObservedNode(name, "v1", name, True, f"127.0.0.1:9{name[-1]}", NOON)


async def test_a_round_goes_on_though_one_nodes_answer_is_beyond_understanding() -> None:
    nodes = tuple(node(f"v1-{n}") for n in (1, 2, 3))
    world = FakeWorld({node.name: node for node in nodes})
    prober = Prober(OddClient(world), LIMITS, lambda: None)
    prober.follow(nodes)
    for _ in range(LIMITS.healthy_after):
        await prober.round(nodes)
    world.broken.add(str(nodes[0].address))
    world.silent.add("v1-2")
    for _ in range(3 * LIMITS.unhealthy_after):  # at first, so many at once are doubted
        await prober.round(nodes)
    assert [known.health for known in prober.health.values()] == [
        Health.UNHEALTHY, Health.UNHEALTHY, Health.HEALTHY,
    ]  # fmt: skip
    assert "a number without end" in prober.health["v1-1"].reason
