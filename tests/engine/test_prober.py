"""Whom the prober believes dead, and when it rather doubts itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from controller.core.health import Health, ProbeLimits, Witness
from controller.engine.ports.node_client import Readiness
from controller.engine.ports.runtime import ObservedNode
from controller.engine.prober import Prober
from controller.engine.pulse import BEAT_SECONDS
from controller.engine.rounds import Rounds
from controller.engine.upstreams import Upstreams
from tests.engine.fakes import NOON, FakeClient, FakeWorld
from tests.engine.requests_served import served

LIMITS = ProbeLimits()


@dataclass
class Client(FakeClient):
    """Answers after some seconds; a `broken` node's word is beyond understanding, and a `slow`
    one's late."""

    answers_after_seconds: float = 0.0

    async def alive(self, address: str, timeout_seconds: float) -> None:
        await asyncio.sleep(self.answers_after_seconds)
        await super().alive(address, timeout_seconds)

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        if self.world.at(address).name in self.world.broken:
            raise OverflowError("a number without end")
        if self.world.at(address).name in self.world.slow:
            await asyncio.sleep(60)
        return await super().readiness(address, timeout_seconds)


class Bench:
    """A prober, and as many healthy nodes as are asked for."""

    def __init__(self, count: int, limits: ProbeLimits = LIMITS) -> None:
        nodes = (node(f"v1-{n}") for n in range(1, count + 1))
        self.world = FakeWorld({node.name: node for node in nodes})
        self.client = Client(self.world)
        self.upstreams = Upstreams(self._node_at)
        self.prober = Prober(self.client, limits, lambda: None, self.upstreams.opinion)

    @property
    def nodes(self) -> tuple[ObservedNode, ...]:
        return tuple(self.world.nodes.values())

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            self.prober.follow(self.nodes)
            await self.prober.round(self.nodes)

    def health(self) -> list[Health]:
        return [known.health for known in self.prober.health.values()]

    def router_sees(self, name: str, status: int) -> None:
        """A request of this moment."""
        address = str(self.world.nodes[name].address)
        self.upstreams.observe([served((address, status), at=time.time())])

    def _node_at(self, address: str) -> str | None:
        return next((n.name for n in self.nodes if n.address == address), None)


def node(name: str) -> ObservedNode:
    return ObservedNode(name, "v1", name, True, f"127.0.0.1:{9000 + int(name[3:])}", NOON)


HEALTHY, UNHEALTHY = Health.HEALTHY, Health.UNHEALTHY


async def test_a_round_goes_on_though_one_nodes_answer_is_beyond_understanding() -> None:
    bench = Bench(3)
    await bench.rounds(1)
    bench.world.broken.add("v1-1")
    bench.world.silent.add("v1-2")
    await bench.rounds(LIMITS.unhealthy_after)
    assert bench.health() == [UNHEALTHY, UNHEALTHY, HEALTHY]
    assert "a number without end" in bench.prober.health["v1-1"].reason
    assert not bench.prober.health["v1-1"].is_silent(LIMITS)


async def test_a_node_that_lives_and_is_late_with_its_word_keeps_its_traffic() -> None:
    bench = Bench(2, replace(LIMITS, timeout_seconds=0.05))
    await bench.rounds(1)
    bench.world.slow.add("v1-1")
    await bench.rounds(2 * LIMITS.unhealthy_after)
    assert bench.health() == [HEALTHY, HEALTHY]


async def test_nobody_is_judged_by_a_prober_that_is_late_itself() -> None:
    limits = replace(LIMITS, timeout_seconds=0.2, unhealthy_after=1)
    bench = Bench(1, limits)
    await bench.rounds(1)
    bench.client.answers_after_seconds = 0.1
    bench.world.slow.add("v1-1")  # nor does its word show that it lives
    for _ in range(limits.believed_after + 1):
        round_ = asyncio.create_task(bench.rounds(1))
        await asyncio.sleep(0.01)  # the question is on its way
        time.sleep(0.5)  # noqa: ASYNC251 (what must never happen: here it does)
        await round_
    known = bench.prober.health["v1-1"]
    assert (known.health, known.failures, known.doubted) == (HEALTHY, 0, 0)
    assert bench.prober.lag_seconds > 0.25
    bench.prober.close()


async def test_a_prober_that_is_not_late_judges_the_same_silence() -> None:
    bench = Bench(2, replace(LIMITS, timeout_seconds=0.2))
    await bench.rounds(1)
    bench.world.silent.add("v1-1")
    for _ in range(100):  # a machine that stands still for a moment makes it late after all
        await bench.rounds(1)
        if bench.prober.health["v1-1"].health is UNHEALTHY:
            break
    assert bench.health() == [UNHEALTHY, HEALTHY]


async def test_a_lateness_of_others_is_seen_before_the_beat_that_it_delays() -> None:
    bench = Bench(1)
    await bench.rounds(1)
    began = time.monotonic()
    time.sleep(0.3)  # noqa: ASYNC251
    assert bench.prober._pulse.late_since(began) > 0.3 - 2 * BEAT_SECONDS
    bench.prober.close()


async def test_more_than_half_at_once_are_doubted_until_the_router_agrees() -> None:
    bench = Bench(3)
    await bench.rounds(1)
    bench.world.silent.update({"v1-1", "v1-2"})
    await bench.rounds(LIMITS.believed_after - 1)
    assert bench.health() == [HEALTHY, HEALTHY, HEALTHY]
    bench.router_sees("v1-1", 502)
    await bench.rounds(1)
    assert bench.prober.health["v1-1"].is_silent(LIMITS)


async def test_what_the_router_saw_before_the_silence_is_no_agreement() -> None:
    bench = Bench(3)
    await bench.rounds(1)
    for name in ("v1-1", "v1-2"):
        bench.router_sees(name, 502)
    bench.world.silent.update({"v1-1", "v1-2"})
    await bench.rounds(LIMITS.unhealthy_after)
    assert bench.health() == [HEALTHY, HEALTHY, HEALTHY]


async def test_more_than_half_that_the_runtime_sees_stopped_are_not_doubted() -> None:
    bench = Bench(3)
    await bench.rounds(1)
    for name in ("v1-1", "v1-2"):
        bench.world.nodes[name] = replace(bench.world.nodes[name], paused=True)
        bench.world.silent.add(name)
    await bench.rounds(LIMITS.unhealthy_after)
    assert bench.health() == [UNHEALTHY, UNHEALTHY, HEALTHY]


async def test_two_nodes_that_fail_together_are_doubted_and_one_of_two_is_not() -> None:
    bench = Bench(2)
    await bench.rounds(1)
    bench.world.silent.update({"v1-1", "v1-2"})
    await bench.rounds(LIMITS.believed_after - 1)
    assert bench.health() == [HEALTHY, HEALTHY]
    bench.world.silent.clear()
    await bench.rounds(1)
    bench.world.silent.add("v1-2")
    await bench.rounds(LIMITS.unhealthy_after)
    assert bench.health() == [HEALTHY, UNHEALTHY]


async def test_a_node_that_answers_users_is_not_judged_dead_however_late_its_probes_are() -> None:
    bench = Bench(3)
    await bench.rounds(1)
    bench.world.silent.add("v1-1")
    for _ in range(3 * LIMITS.unhealthy_after):
        await bench.rounds(1)
        bench.router_sees("v1-1", 200)
    assert bench.health() == [HEALTHY, HEALTHY, HEALTHY]
    await bench.rounds(LIMITS.unhealthy_after)  # and now it does not
    assert bench.health() == [UNHEALTHY, HEALTHY, HEALTHY]


def test_the_routers_opinion_is_the_latest_that_is_certain() -> None:
    upstreams = Upstreams(lambda address: f"node at {address}")
    assert upstreams.opinion("node at a", since=0.5) is Witness.NOTHING
    upstreams.observe([served(("a", 502), ("b", 200), at=100.0, waited_seconds=60.0)])
    assert upstreams.opinion("node at a", since=40.0) is Witness.DEAD
    assert upstreams.opinion("node at a", since=41.0) is Witness.NOTHING  # `b` took a minute
    assert upstreams.opinion("node at b", since=100.0) is Witness.ALIVE
    upstreams.observe([served(("a", 500), at=101.0)])  # an error of its own is an answer
    assert upstreams.opinion("node at a", since=40.0) is Witness.ALIVE


def test_a_stream_that_ends_and_a_client_that_left_say_nothing_of_a_node() -> None:
    upstreams = Upstreams(lambda address: address)
    upstreams.observe([served(("a", 101), at=9.0), served(("a", 502), at=9.0, status=499)])
    upstreams.observe([served(("a", None), at=9.0), served(at=9.0)])
    assert upstreams.opinion("a", since=1.0) is Witness.NOTHING


async def test_nodes_are_asked_one_after_the_other() -> None:
    nodes, asked = Bench(100).nodes, list[str]()

    async def ask(node: ObservedNode) -> None:
        asked.append(node.name)

    rounds = Rounds(ask)
    rounds.spread(nodes, over_seconds=2.0)
    while not asked:
        await asyncio.sleep(0)
    assert len(asked) < 100
    async with asyncio.timeout(30):
        while len(asked) < 100:
            await asyncio.sleep(0.01)
    assert asked == [node.name for node in nodes]


async def test_a_node_that_owes_an_answer_is_left_out_and_the_others_are_not() -> None:
    nodes, asked, answer = Bench(2).nodes, list[str](), asyncio.Event()

    async def ask(node: ObservedNode) -> None:
        asked.append(node.name)
        if node.name == "v1-1":
            await answer.wait()

    rounds = Rounds(ask)
    first = asyncio.create_task(rounds.at_once(nodes))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(rounds.at_once(nodes))
    await asyncio.sleep(0.01)
    answer.set()
    await asyncio.gather(first, second)
    assert sorted(asked) == ["v1-1", "v1-2", "v1-2"]
    rounds.close()


async def test_a_question_that_is_due_before_the_last_has_failed_is_asked_right_after_it() -> None:
    asked, failed = list[str](), asyncio.Event()

    async def ask(node: ObservedNode) -> None:
        asked.append(node.name)
        await failed.wait()

    rounds = Rounds(ask)
    for _ in range(3):  # the first begins; of those that are due meanwhile one is kept
        rounds.spread(Bench(1).nodes, over_seconds=0.0)
        await asyncio.sleep(0.01)
    assert asked == ["v1-1"]
    failed.set()
    async with asyncio.timeout(30):
        while len(asked) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    assert asked == ["v1-1", "v1-1"]
    rounds.close()


async def test_who_is_closed_asks_nobody_what_was_due() -> None:
    asked = list[str]()

    async def ask(node: ObservedNode) -> None:
        asked.append(node.name)
        await asyncio.sleep(60)

    rounds = Rounds(ask)
    for _ in range(2):
        rounds.spread(Bench(1).nodes, over_seconds=0.0)
        await asyncio.sleep(0.01)
    rounds.close()
    await asyncio.sleep(0.01)
    assert asked == ["v1-1"]
