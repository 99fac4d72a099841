"""Who is killed, who is not, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from controller.api.status import status
from controller.core.desired import Pool, WantedNode
from controller.core.health import Health, NodeHealth, ProbeLimits, Witness
from controller.engine.crashes import CRASHES_THAT_END, Crashes
from controller.engine.fencing import why_fenced
from controller.engine.ports.runtime import ObservedNode
from tests.engine.conftest import Driver
from tests.engine.fakes import NOON

LIMITS = ProbeLimits()
WELL = NodeHealth("i", Health.HEALTHY)
DEAD = NodeHealth("i", Health.UNHEALTHY, failures=3, failing_since=100.0, reason="silent")
UNREADY = NodeHealth("i", Health.UNHEALTHY, reason="draining")
STABLE, OTHER = WantedNode("v1-1", "v1", Pool.STABLE), WantedNode("v1-2", "v1", Pool.STABLE)
BACKUP = WantedNode("backup-v1-1", "v1", Pool.BACKUP)
CANARY = WantedNode("v2-1", "v2", Pool.CANARY)
RETIRED = WantedNode("v0-1", "v0", Pool.RETIRED)


def fenced(
    dead: WantedNode,
    health: Mapping[WantedNode, NodeHealth],
    paused: bool = False,
    witness: Witness = Witness.NOTHING,
    astray: str | None = None,
) -> bool:
    node = ObservedNode(dead.name, dead.version, "i", True, "127.0.0.1:9", NOON, paused=paused)
    states = {wanted.name: state for wanted, state in health.items()}
    opinion = {dead.name: witness}
    why = why_fenced(
        dead, node, states[dead.name], health, states, LIMITS, lambda name, _: opinion[name],
        astray,
    )  # fmt: skip
    return why is not None


def test_a_dead_node_is_killed_where_another_answers_that_gets_its_work() -> None:
    assert fenced(STABLE, {STABLE: DEAD, OTHER: WELL})
    assert fenced(STABLE, {STABLE: DEAD, BACKUP: WELL})
    assert fenced(CANARY, {CANARY: DEAD, STABLE: WELL})
    assert fenced(BACKUP, {BACKUP: DEAD, WantedNode("backup-v1-2", "v1", Pool.BACKUP): WELL})


def test_the_last_that_may_answer_is_not_killed() -> None:
    assert not fenced(STABLE, {STABLE: DEAD})
    assert not fenced(STABLE, {STABLE: DEAD, OTHER: DEAD, BACKUP: UNREADY})


def test_one_that_never_gets_its_work_is_no_other() -> None:
    assert not fenced(STABLE, {STABLE: DEAD, CANARY: WELL, RETIRED: WELL})
    evaluated = replace(OTHER, routed=False)
    assert not fenced(STABLE, {STABLE: DEAD, evaluated: WELL})


def test_one_whose_last_probe_failed_may_be_the_next_to_go() -> None:
    assert not fenced(STABLE, {STABLE: DEAD, OTHER: replace(WELL, doubted=1)})


def test_the_last_is_killed_where_somebody_else_says_that_it_is_dead() -> None:
    assert fenced(STABLE, {STABLE: DEAD}, witness=Witness.DEAD)
    assert fenced(STABLE, {STABLE: DEAD}, paused=True)
    assert not fenced(STABLE, {STABLE: DEAD}, witness=Witness.ALIVE)


def test_a_node_without_traffic_may_be_killed_whoever_is_left() -> None:
    assert fenced(replace(CANARY, routed=False), {replace(CANARY, routed=False): DEAD})


def test_one_that_answers_but_hears_wrong_is_killed_where_another_gets_its_work() -> None:
    assert fenced(STABLE, {STABLE: WELL, OTHER: WELL}, astray="gibberish")
    assert not fenced(STABLE, {STABLE: WELL, OTHER: DEAD}, astray="gibberish")


def test_late_unready_or_loading_is_not_dead() -> None:
    late = replace(WELL, failures=2)
    loading = NodeHealth("i", failures=9)
    for state in (late, UNREADY, replace(UNREADY, failures=2), loading):
        assert not fenced(STABLE, {STABLE: state, OTHER: WELL}, witness=Witness.DEAD)


def test_a_node_that_is_paused_while_it_loads_is_killed() -> None:
    assert fenced(STABLE, {STABLE: NodeHealth("i", failures=3)}, paused=True)


def told(driver: Driver, kind: str) -> list[str]:
    return [e.message for e in driver.store.events(0, 1000) if e.kind == kind]


async def test_a_fence_and_the_restart_after_it_are_told_with_their_reasons_and_counted(
    driver: Driver,
) -> None:
    driver.world.silent.add("v1-1")
    await driver.until(lambda loop: "v1-1" in driver.world.killed)
    driver.world.silent.clear()
    await driver.until_settled()
    assert driver.world.killed == ["v1-1"]
    [fenced], [restarted] = told(driver, "node.fenced"), told(driver, "node.restarted")
    assert "3 probes in a row failed" in fenced
    assert restarted == (
        "its process ended with status -9; its last words: out of memory; its end no. 1 in a row"
    )
    assert driver.loop.keeper.fences == {"stable": 1}
    assert driver.loop.keeper.restarts == {"stable": 1}


async def test_a_kill_that_fails_is_tried_again_and_counted_once(driver: Driver) -> None:
    driver.loop.keeper.kill_again_seconds = 0.0
    driver.world.unkillable = 2
    driver.world.silent.add("v1-1")
    await driver.until(lambda loop: "v1-1" in driver.world.killed)
    assert driver.loop.keeper.fences == {"stable": 1}
    assert len(told(driver, "node.fenced")) == 1


async def test_a_kill_that_is_refused_at_once_is_not_tried_in_every_tick(driver: Driver) -> None:
    driver.loop.keeper.kill_again_seconds = 1000.0
    driver.world.unkillable = 100
    driver.world.silent.add("v1-1")
    for _ in range(10):
        await driver.round()
    assert driver.world.unkillable == 99


async def test_those_that_are_ready_in_vain_are_no_others(driver: Driver) -> None:
    """They answer, and are in no upstream."""
    ending = driver.loop.observer.ending
    ending |= {driver.world.nodes[name].instance for name in ("v1-2", "backup-v1-1")}
    driver.world.silent.add("v1-1")
    for _ in range(6):
        await driver.round()
    assert driver.loop.observer.health["v1-1"].is_silent(LIMITS)
    assert driver.world.killed == []
    ending.clear()
    await driver.until(lambda loop: driver.world.killed == ["v1-1"])


async def test_a_canary_that_dies_just_before_its_abort_is_killed_too(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: driver.world.routing.canary == "v2")
    driver.world.silent.add("v2-1")
    await driver.command("abort")
    for _ in range(LIMITS.unhealthy_after):
        await driver.loop.observer.probe()
    await driver.until(lambda loop: "v2-1" not in driver.world.nodes)
    assert driver.world.killed == ["v2-1"]


async def test_a_leaving_node_that_cannot_be_killed_is_stopped(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: driver.world.routing.canary == "v2")
    driver.world.silent.add("v2-1")
    driver.world.unkillable = 100
    await driver.command("abort")
    for _ in range(LIMITS.unhealthy_after):
        await driver.loop.observer.probe()
    await driver.until(lambda loop: "v2-1" not in driver.world.nodes)
    assert driver.world.stopped == ["v2-1"]


async def test_all_that_are_paused_are_killed_and_come_back(driver: Driver) -> None:
    for name, node in driver.world.nodes.items():
        driver.world.nodes[name] = replace(node, paused=True)
    driver.world.silent.update(driver.world.nodes)
    await driver.until(lambda loop: len(driver.world.killed) == 3)
    driver.world.silent.clear()
    await driver.until_settled()


async def test_a_node_that_ends_again_and_again_has_failed_and_that_is_told_once(
    driver: Driver,
) -> None:
    driver.loop.keeper.crashes.longest_wait_seconds = 0.0
    driver.world.broken.add("v1-1")
    driver.world.end("v1-1")
    await driver.until(lambda loop: loop.keeper.crashes.has_failed("v1-1"))
    for _ in range(5):
        await driver.round()
    [failed] = told(driver, "node.failed")
    assert failed.startswith(f"v1-1 ended {CRASHES_THAT_END} times in a row")
    assert "out of memory" in failed
    assert len(told(driver, "node.restarted")) == CRASHES_THAT_END - 1
    assert driver.loop.keeper.restarts["stable"] > CRASHES_THAT_END
    shown = status(driver.loop, driver.loop.router_state(), "fake")["pools"]["stable"]["nodes"][0]
    assert (shown["name"], shown["health"]) == ("v1-1", "failed")
    assert "its last words: out of memory" in shown["reason"]


def shown(driver: Driver, name: str) -> dict[str, object]:
    pools = status(driver.loop, driver.loop.router_state(), "fake")["pools"].values()
    return next(node for pool in pools for node in pool["nodes"] if node["name"] == name)


async def test_the_first_end_already_shows_its_last_words_until_the_node_is_well_again(
    driver: Driver,
) -> None:
    driver.world.unstartable = True
    driver.world.end("v1-1")
    await driver.round()
    ended = "v1-1 ended once (its process ended with status -9); its last words: out of memory"
    assert shown(driver, "v1-1")["reason"] == ended
    driver.world.unstartable = False
    driver.world.slow.add("v1-1")
    await driver.until(
        lambda loop: shown(driver, "v1-1")["reason"] == f"loading; before that {ended}"
    )
    driver.world.slow.clear()
    await driver.until_settled()
    assert shown(driver, "v1-1")["reason"] == ""


async def test_a_node_whose_log_cannot_be_read_is_started_all_the_same(driver: Driver) -> None:
    driver.world.log_is_readable = False
    driver.world.end("v1-1")
    await driver.until(lambda loop: driver.world.started.count("v1-1") == 2)
    [restarted] = told(driver, "node.restarted")
    assert restarted == "its process ended with status -9; its end no. 1 in a row"
    assert str(driver.loop.keeper.crashes.problem("v1-1")).endswith("its last words: none")


async def test_an_end_that_is_seen_again_after_the_start_is_told_once(driver: Driver) -> None:
    """The runtime was asked before the start, or has not been asked since."""
    driver.world.end("v1-1")
    await driver.loop.observer.look()
    driver.world.answers.clear()
    driver.loop.observe_soon()
    await asyncio.sleep(0)  # it is asked, and will answer that the node ended
    for _ in range(4):
        await driver.loop.tick()
        await but_for(driver, "observe")
    driver.world.answers.set()
    await but_for(driver, "")
    await driver.loop.tick()
    await driver.until_settled()
    assert len(told(driver, "node.restarted")) == 1
    assert driver.loop.keeper.restarts == {"stable": 1}
    assert driver.world.started.count("v1-1") == 2


async def but_for(driver: Driver, key: str) -> None:
    """The jobs are done but for this one."""
    while tasks := [task for k, task in driver.loop.jobs._tasks.items() if k != key]:
        await asyncio.wait(tasks)


async def test_a_node_that_the_runtime_cannot_start_is_not_tried_in_every_tick(
    driver: Driver,
) -> None:
    driver.world.unstartable = True
    driver.world.end("v1-1")
    for _ in range(5):
        await driver.round()
    assert driver.world.start_attempts == 1


def test_a_node_that_has_failed_waits_long_between_its_starts() -> None:
    crashes = Crashes(longest_wait_seconds=1000.0)
    for number in range(CRASHES_THAT_END):
        assert not crashes.has_failed("v1-1")
        node = ObservedNode("v1-1", "v1", f"i{number}", False, None, NOON)
        assert crashes.take(node)
        assert not crashes.take(node)  # the same end, seen again
    assert crashes.has_failed("v1-1")
    assert crashes.must_wait("v1-1")
    assert not crashes.forgive("v1-1")  # healthy for a moment is not healthy for long
    crashes.forget("v1-1")
    assert not crashes.must_wait("v1-1")
