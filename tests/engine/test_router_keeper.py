"""When nginx is loaded anew: as soon as it helps, and not more often than it bears."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from controller.core.desired import Desired
from controller.core.errors import ReloadRejected
from controller.core.routing import Endpoint, Group, Membership, Routing
from controller.engine.jobs import Jobs
from controller.engine.nodes import Tell
from controller.engine.pace import Pace
from controller.engine.router_keeper import RouterKeeper, nobody
from tests.engine.fakes import FakeRouter, FakeWorld


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def nodes(count: int) -> Desired:
    endpoints = tuple(Endpoint(f"v1-{n}", f"127.0.0.1:{9000 + n}") for n in range(1, count + 1))
    return Desired((), Membership((Group("v1", endpoints),)), Routing("v1"))


@dataclass
class RefusingRouter(FakeRouter):
    async def load(self, membership: Membership, routing: Routing) -> None:
        raise ReloadRejected("nginx rejected it")


def a_keeper(router: FakeRouter, clock: Seconds, tell: Tell = nobody) -> tuple[RouterKeeper, Jobs]:
    jobs = Jobs(lambda: None)
    keeper = RouterKeeper(router, jobs, tell)
    keeper.pace = Pace(5, 2.0, clock)
    return keeper, jobs


async def ticks(keeper: RouterKeeper, jobs: Jobs, clock: Seconds, wanted: list[Desired]) -> None:
    """One for each, in a second."""
    for desired in wanted:
        await keeper.converge(desired)
        while tasks := list(jobs._tasks.values()):
            await tasks[0]
        clock.now += 1 / len(wanted)


async def test_twenty_changes_in_a_second_are_few_reloads_and_the_last_one_takes_effect() -> None:
    world, clock = FakeWorld(), Seconds()
    keeper, jobs = a_keeper(FakeRouter(world), clock)
    changes = [nodes(1 + n) for n in range(20)]
    await ticks(keeper, jobs, clock, changes)
    assert world.generation == keeper.loads == 5
    clock.now += 2
    await ticks(keeper, jobs, clock, changes[-1:])
    assert world.loaded == changes[-1].membership
    assert world.generation == 6


async def test_a_storm_that_goes_on_is_one_reload_every_two_seconds() -> None:
    world, clock = FakeWorld(), Seconds()
    keeper, jobs = a_keeper(FakeRouter(world), clock)
    for second in range(60):
        await ticks(keeper, jobs, clock, [nodes(1 + (second + n) % 7) for n in range(4)])
    assert 30 <= world.generation <= 36


async def test_a_configuration_that_is_refused_is_not_tried_again_at_every_tick() -> None:
    clock = Seconds()
    keeper, jobs = a_keeper(RefusingRouter(FakeWorld()), clock)
    for _ in range(20):
        await ticks(keeper, jobs, clock, [nodes(1)] * 2)
    assert keeper.loads == keeper.loads_failed
    assert keeper.loads <= 5 + 20 / 2


async def test_an_nginx_that_died_is_started_again_however_often_it_was_loaded() -> None:
    world, clock = FakeWorld(), Seconds()
    keeper, jobs = a_keeper(FakeRouter(world), clock)
    await ticks(keeper, jobs, clock, [nodes(1 + n) for n in range(10)])
    before = world.generation
    keeper.revive(nodes(1))
    while tasks := list(jobs._tasks.values()):
        await tasks[0]
    assert (world.generation, keeper.revivals) == (before + 1, 1)


async def test_an_nginx_that_cannot_start_is_not_tried_at_every_check() -> None:
    clock = Seconds()
    keeper, jobs = a_keeper(RefusingRouter(FakeWorld()), clock)
    keeper.revival_pace = Pace(5, 2.0, clock)
    for _ in range(80):  # four checks a second
        keeper.revive(nodes(1))
        while tasks := list(jobs._tasks.values()):
            await tasks[0]
        clock.now += 0.25
    assert 10 <= keeper.loads == keeper.revivals <= 5 + 20 / 2


async def test_an_nginx_that_died_is_told_once_when_it_serves_again() -> None:
    events: list[tuple[str, str, str]] = []

    async def tell(kind: str, subject: str, message: str) -> None:
        events.append((kind, subject, message))

    router = RefusingRouter(FakeWorld())
    keeper, jobs = a_keeper(router, Seconds(), tell)
    keeper.revive(nodes(1))
    await all_of(jobs)
    assert (keeper.revivals, events) == (1, [])
    keeper._router = FakeRouter(router.world)
    for count in (1, 2):  # its next load, whoever asks for it, and one that is no news
        await keeper.converge(nodes(count))
        await all_of(jobs)
    [(kind, subject, message)] = events
    assert (kind, subject) == ("router.restarted", "router")
    assert "connections of workers that died with it were cut" in message


async def test_an_nginx_that_others_started_again_between_two_looks_is_told_once() -> None:
    events: list[str] = []

    async def tell(kind: str, _subject: str, message: str) -> None:
        events.append(f"{kind}: {message}")

    world = FakeWorld()
    keeper, jobs = a_keeper(FakeRouter(world), Seconds(), tell)
    await keeper.runs()
    world.restarts += 1
    for _ in range(2):
        assert await keeper.runs()
        await all_of(jobs)
    assert [event.partition(";")[0] for event in events] == [
        "router.restarted: nginx had died, and was started again before that was seen"
    ]
    assert keeper.revivals == 1


async def test_a_restart_that_was_seen_and_that_others_were_faster_with_is_told_once() -> None:
    events: list[str] = []

    async def tell(kind: str, _subject: str, _message: str) -> None:
        events.append(kind)

    world = FakeWorld(router_is_dead=True)
    keeper, jobs = a_keeper(FakeRouter(world), Seconds(), tell)
    keeper.revive(nodes(1))
    world.restarts += 1
    await all_of(jobs)
    assert await keeper.runs()
    await all_of(jobs)
    assert events == ["router.restarted"]


async def test_what_cannot_be_told_keeps_nobody_from_looking_after_nginx() -> None:
    asked = asyncio.Event()

    async def tell(_kind: str, _subject: str, _message: str) -> None:
        asked.set()
        await asyncio.Event().wait()  # a store that does not answer

    world = FakeWorld()
    keeper, jobs = a_keeper(FakeRouter(world), Seconds(), tell)
    keeper.revive(nodes(1))
    await asked.wait()
    world.router_is_dead = True
    assert not await keeper.runs()
    keeper.revive(nodes(1))
    while world.router_is_dead:
        await asyncio.sleep(0)
    await jobs.close()


async def all_of(jobs: Jobs) -> None:
    while tasks := list(jobs._tasks.values()):
        await asyncio.wait(tasks)


@dataclass
class SlowRouter(FakeRouter):
    checks: int = 0
    most_at_once: int = 0

    async def check(self) -> bool:
        self.checks += 1
        self.most_at_once = max(self.most_at_once, self.checks)
        await asyncio.sleep(0)
        self.checks -= 1
        return True


async def test_one_check_waits_for_the_one_before() -> None:
    router = SlowRouter(FakeWorld())
    keeper, _ = a_keeper(router, Seconds())
    assert await asyncio.gather(keeper.runs(), keeper.runs()) == [True, True]
    assert router.most_at_once == 1
