"""A runtime, router and node client in memory, with the rules of the real ones; for the
engine's logic only. What crosses a process is tested in tests/end_to_end."""

from __future__ import annotations

import asyncio
import datetime
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.core.errors import NodeUnavailable, NoTranscript, RuntimeUnavailable
from controller.core.eval_set import EvalSet, Utterance
from controller.core.fleet import FleetConfig
from controller.core.gate import ErrorRateGate
from controller.core.health import NodeMemory
from controller.core.plan import Plan, Step
from controller.core.routing import Membership, Routing
from controller.core.shadow.pair import Heard
from controller.core.version import Version
from controller.engine.loop import Loop
from controller.engine.pace import Pace
from controller.engine.ports import Ports
from controller.engine.ports.node_client import Readiness
from controller.engine.ports.router import RouterState
from controller.engine.ports.runtime import NodeSpec, ObservedNode
from controller.engine.records import Served

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
VERSIONS = {name: Version(name, f"/models/{name}") for name in ("v1", "v2", "v3")}
CONFIG = FleetConfig(service="asr", versions=VERSIONS, initial_version="v1", stream_drain_seconds=5)
DIGITS = EvalSet(
    "digits",
    tuple(Utterance(f"u{n}", f"/audio/{n}.ogg", "请拨打一零零八六") for n in range(400)),
    digest="e" * 64,
)
PLAN = Plan(
    name="test",
    steps=(Step(5), Step(50), Step(100)),
    gates=(ErrorRateGate(eval_sets=("digits",)),),
    eval_sets=("digits",),
)


@dataclass
class Clock:
    now: datetime.datetime = NOON

    def __call__(self) -> datetime.datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class FakeWorld:
    """Outlives every controller of a test, as processes and nginx do.

    `broken` versions (or nodes) end before they are ready; `slow` ones never become ready;
    `heard` is what a version or one of its nodes hears."""

    nodes: dict[str, ObservedNode] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    streams: dict[str, int] = field(default_factory=dict)  # open ones, by node
    asked_for_streams: asyncio.Event = field(default_factory=asyncio.Event)
    degraded: dict[str, str] = field(default_factory=dict)
    memory: dict[str, tuple[NodeMemory, ...]] = field(default_factory=dict)  # that nodes tell
    seconds: dict[str, float] = field(default_factory=dict)  # that a version takes for a clip
    refuses: set[tuple[str, str]] = field(default_factory=set)  # version, file name
    asked: list[str] = field(default_factory=list)  # addresses, in order
    digests: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    unkillable: int = 0  # so many kills fail first
    answers: asyncio.Event = field(default_factory=_set_event)  # unset: the runtime's, late
    log_is_readable: bool = True
    unstartable: bool = False
    start_attempts: int = 0  # while that was so
    switches: list[Routing] = field(default_factory=list)
    router_is_dead: bool = False
    restarts: int = 0  # of nginx, by others than the router
    loaded: Membership | None = None
    routing: Routing | None = None
    generation: int = 0
    served: list[Served] = field(default_factory=list)  # and not read yet
    read: list[Served] = field(default_factory=list)
    histories: dict[str, list[Heard]] = field(default_factory=dict)  # by node

    def at(self, address: str) -> ObservedNode:
        return next(n for n in self.nodes.values() if n.address == address and n.running)

    def end(self, name: str) -> None:
        self.nodes[name] = replace(self.nodes[name], running=False, exit_status=-9, paused=False)


@dataclass
class FakeRuntime:
    world: FakeWorld
    name: str = "fake"

    async def observe(self) -> tuple[ObservedNode, ...]:
        seen = tuple(self.world.nodes.values())
        await self.world.answers.wait()
        return seen

    async def start(self, spec: NodeSpec) -> None:
        known = self.world.nodes.get(spec.name)
        if known is not None and known.running:
            return
        if self.world.unstartable:
            self.world.start_attempts += 1
            raise RuntimeUnavailable("no memory for another process")
        self.world.started.append(spec.name)
        number = len(self.world.started)
        self.world.nodes[spec.name] = ObservedNode(
            name=spec.name,
            version=spec.version.name,
            instance=str(number),
            running=not {spec.name, spec.version.name} & self.world.broken,
            address=f"127.0.0.1:{9000 + number}",
            started_at=NOON,
            device=spec.device,
        )

    async def stop(self, name: str, grace_seconds: float) -> None:
        self.world.stopped.append(name)
        self.world.nodes.pop(name, None)

    async def kill(self, name: str) -> None:
        if self.world.unkillable:
            self.world.unkillable -= 1
            raise RuntimeUnavailable("the engine does not answer")
        self.world.killed.append(name)
        self.world.end(name)

    async def last_log(self, name: str, lines: int = 20) -> str:
        await asyncio.sleep(0)
        if not self.world.log_is_readable:
            raise RuntimeUnavailable("the engine does not answer")
        return "" if self.world.nodes[name].running else "out of memory"  # a new container's

    async def close(self) -> None:
        return


@dataclass
class FakeClient:
    world: FakeWorld

    async def alive(self, address: str, timeout_seconds: float) -> None:
        self._node(address)

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        node = self._node(address)
        ready = not {node.version, node.name} & self.world.slow
        digest = self.world.digests.get(node.name, f"digest of {node.version}")
        degraded = self.world.degraded.get(node.name)
        memory = self.world.memory.get(node.name, ())
        reason = "" if ready else "loading"
        return Readiness(ready, reason, node.version, digest, 0, degraded, memory)

    async def streams(self, address: str, timeout_seconds: float) -> int:
        name = self._node(address).name
        self.world.asked_for_streams.set()
        return self.world.streams.get(name, 0)

    async def transcribe(self, address: str, audio: Path, timeout_seconds: float) -> str:
        node = self._node(address)
        self.world.asked.append(address)
        await asyncio.sleep(self.world.seconds.get(node.version, 0.0))
        if node.name in self.world.busy:
            raise NodeUnavailable(f"{address}: 429 the queue is full")
        if (node.version, audio.name) in self.world.refuses:
            raise NoTranscript(f"{address}: 422 the recording ends decoders")
        said = self.world.heard.get(node.version, "请拨打一零零八六")
        return self.world.heard.get(node.name, said)

    async def history(
        self, address: str, after: int, limit: int, timeout_seconds: float
    ) -> tuple[list[Heard], int]:
        node = self._node(address)
        rows = [row for row in self.world.histories.get(node.name, []) if row.cursor > after]
        return rows[:limit], rows[:limit][-1].cursor if rows else after

    def _node(self, address: str) -> ObservedNode:
        try:
            node = self.world.at(address)
        except StopIteration:
            raise NodeUnavailable(f"{address}: connection refused") from None
        if node.name in self.world.silent:
            raise NodeUnavailable(f"{address}: no answer")
        return node


@dataclass
class FakeRouter:
    world: FakeWorld

    def state(self) -> RouterState:
        world = self.world
        alive = not world.router_is_dead
        served = world.generation, world.loaded, world.routing
        return RouterState("http://router", alive, *served, restarts=world.restarts)

    async def left_behind(self) -> Membership | None:
        return self.world.loaded if self.world.router_is_dead else None

    async def start(self, membership: Membership, routing: Routing) -> None:
        if self.world.loaded is None or self.world.router_is_dead:
            await self.load(membership, routing)

    async def load(self, membership: Membership, routing: Routing) -> None:
        self.world.loaded, self.world.router_is_dead = membership, False
        self.world.generation += 1
        first = self.world.routing is None
        changed, self.world.routing = self.world.routing != routing, routing
        if changed and not first:
            self.world.switches.append(routing)

    async def switch(self, routing: Routing) -> None:
        loaded = self.world.loaded
        assert loaded is not None
        groups = {routing.stable, routing.canary, routing.baseline}
        assert groups - {None} <= loaded.group_names(), "unknown group"
        self.world.routing = routing
        self.world.switches.append(routing)

    async def check(self) -> bool:
        return not self.world.router_is_dead

    async def stop(self) -> None:
        return


@dataclass
class FakeLog:
    world: FakeWorld
    position: str | None = None

    def resume(self, position: str) -> None:
        lines = self.world.read + self.world.served
        self.position, at = position, int(position)
        self.world.read, self.world.served = lines[:at], lines[at:]

    def read(self) -> list[Served]:
        served, self.world.served = self.world.served, []
        self.world.read += served
        self.position = str(len(self.world.read))
        return served


def a_loop(world: FakeWorld, store: object, clock: Clock, config: FleetConfig = CONFIG) -> Loop:
    """A controller over the world: the first, or one after a crash."""
    client, router, log = FakeClient(world), FakeRouter(world), FakeLog(world)
    ports = Ports(store, FakeRuntime(world), router, client, log, lambda _: DIGITS, clock)
    loop = Loop(config, dict(VERSIONS), ports)
    loop.evaluator.waits_seconds = (0.0, 0.0)
    loop.router.pace = Pace(burst=1_000_000, seconds=1.0)
    return loop


def as_json(plan: Plan) -> dict[str, object]:
    from pydantic import TypeAdapter

    return json.loads(TypeAdapter(Plan).dump_json(plan))
