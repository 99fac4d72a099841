from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from controller.adapters.store import SqlStore
from controller.core.rollout import Phase
from controller.engine.alarm import COMING_UP_SECONDS
from tests.engine.conftest import Driver
from tests.engine.fakes import CONFIG, Clock, FakeWorld, a_loop


def percents(driver: Driver) -> list[float]:
    """The shares that the canary had, one after another; it began with none."""
    shares = [0.0, *(routing.canary_percent for routing in driver.world.switches)]
    return [after for before, after in pairwise(shares) if before != after]


async def to_phase(driver: Driver, phase: Phase) -> None:
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.phase is phase)


async def to_promoted(driver: Driver) -> None:
    await driver.start()
    for _ in range(2):
        await to_phase(driver, Phase.WAITING)
        await driver.command("promote")
    await to_phase(driver, Phase.PROMOTED)


async def test_a_fresh_fleet_comes_up_behind_the_router(driver: Driver) -> None:
    assert sorted(driver.world.nodes) == ["backup-v1-1", "v1-1", "v1-2"]
    assert driver.world.routing.stable == "v1"


async def test_a_rollout_walks_through_its_steps_to_promotion(driver: Driver) -> None:
    await to_promoted(driver)
    await driver.until_settled()
    assert percents(driver) == [5, 50, 100, 0]
    assert driver.loop.fleet.stable == "v2"
    assert sorted(driver.world.nodes) == ["backup-v2-1", "v1-1", "v1-2", "v2-1", "v2-2"]


async def test_a_worse_version_is_rolled_back_by_its_gate(driver: Driver) -> None:
    driver.world.heard["v3"] = "请拨打一零八六"
    await driver.start("v3")
    await to_phase(driver, Phase.ROLLED_BACK)
    await driver.until_settled()
    assert driver.world.routing.canary is None
    assert "v3-1" in driver.world.stopped
    assert "error-rate" in driver.loop.rollout.reason
    refused = await driver.start("v3")
    assert "--force" in str(refused.refusal)


async def test_rollback_after_a_promotion_is_a_change_of_routing_only(driver: Driver) -> None:
    await to_promoted(driver)
    await driver.until_settled()
    generation, started = driver.world.generation, list(driver.world.started)
    outcome = await driver.command("rollback")
    assert outcome.refusal is None
    assert driver.world.routing.stable == "v1"
    assert driver.world.generation == generation
    assert set(driver.world.started) - set(started) <= {"backup-v1-1"}  # renewed, last of all


async def test_rollback_after_a_promotion_is_the_rollouts_last_word(driver: Driver) -> None:
    await to_promoted(driver)
    await driver.until_settled()
    await driver.command("rollback")
    assert driver.loop.rollout.phase is Phase.ROLLED_BACK
    assert driver.loop.rollout.reason == "rolled back by ann after its promotion"
    assert driver.loop.fleet.bad == frozenset({"v2"})


async def test_a_later_rollback_leaves_a_rollout_that_was_aborted_alone(driver: Driver) -> None:
    await to_promoted(driver)
    await driver.start("v3")
    await driver.command("abort")
    await driver.command("rollback")
    assert driver.loop.rollout.phase is Phase.ABORTED
    assert driver.loop.fleet.stable == "v1"


@pytest.mark.parametrize("ends", [True, False])
async def test_a_rollback_is_told_of_the_rollout_that_made_the_version_stable(
    driver: Driver, ends: bool
) -> None:
    await to_promoted(driver)
    promoted = driver.loop.rollout.id
    await driver.start("v3")
    if ends:
        await driver.command("abort")
    await driver.command("rollback", to="v1")
    assert driver.loop.rollout.phase is (Phase.ABORTED if ends else Phase.ROLLED_BACK)
    assert driver.store.rollout(promoted).phase is Phase.ROLLED_BACK
    *_, command, told = driver.store.rollout_events(promoted, 1000)
    assert (command.kind, told.kind) == ("command.rollback", "rollout.phase_changed")
    assert told.message == "rolled back by ann after its promotion"


async def test_rollback_takes_effect_before_it_is_answered(driver: Driver) -> None:
    await driver.start()
    await to_phase(driver, Phase.WAITING)
    assert driver.world.routing.canary == "v2"
    await driver.command("rollback")
    assert driver.world.routing.canary is None


@pytest.mark.parametrize("command", ["abort", "rollback"])
async def test_a_canary_that_is_still_loading_can_be_given_up(driver: Driver, command: str) -> None:
    driver.world.slow.add("v2")
    await driver.start()
    await driver.round()
    await driver.round()
    assert "v2-1" in driver.world.nodes
    await driver.command(command)
    await driver.until_settled()
    assert "v2-1" not in driver.world.nodes
    assert percents(driver) == []


async def test_a_canary_that_crashes_in_a_loop_is_rolled_back_with_its_last_words(
    driver: Driver,
) -> None:
    driver.loop.keeper.crashes.longest_wait_seconds = 0.0
    driver.world.broken.add("v2")
    await driver.start()
    await to_phase(driver, Phase.ROLLED_BACK)
    assert "out of memory" in driver.loop.rollout.reason
    assert percents(driver) == []


async def test_a_canary_that_becomes_ready_and_crashes_again_and_again_is_rolled_back(
    driver: Driver,
) -> None:
    driver.loop.keeper.crashes.longest_wait_seconds = 0.0
    await driver.start()
    for _ in range(3):
        await driver.until(lambda loop: bool(loop.observer.addresses("v2")))
        driver.world.end("v2-1")
        await driver.round()
    await to_phase(driver, Phase.ROLLED_BACK)
    assert "ended 3 times in a row" in driver.loop.rollout.reason


async def test_a_node_with_other_model_files_gets_no_traffic(driver: Driver) -> None:
    driver.world.digests["v1-2"] = "something else"
    driver.world.end("v1-2")
    await driver.until(lambda loop: driver.world.nodes["v1-2"].running)
    for _ in range(3):
        await driver.round()
    group = driver.world.loaded.group("v1")
    assert [endpoint.node for endpoint in group.endpoints] == ["v1-1"]
    assert driver.loop.observer.health["v1-2"].health == "mismatch"


async def test_nodes_that_start_together_get_a_device_each(
    world: FakeWorld, store: SqlStore
) -> None:
    devices = ("cuda:0", "cuda:1", "cuda:2")
    driver = Driver(world, store, Clock())
    driver.loop = a_loop(world, store, Clock(), replace(CONFIG, devices=devices))
    await driver.begin()
    await driver.until_settled()
    assert sorted(node.device for node in world.nodes.values()) == list(devices)
    await driver.loop.close()


async def test_a_node_that_was_told_to_stop_gets_no_traffic_although_it_is_wanted_again(
    driver: Driver,
) -> None:
    await driver.start()
    await to_phase(driver, Phase.WAITING)
    await driver.command("abort")
    driver.loop.observer.ending.add(driver.world.nodes["v2-1"].instance)
    assert driver.loop.observer.addresses("v2") == []


async def test_a_container_seen_between_its_creation_and_its_start_is_no_crash(
    driver: Driver,
) -> None:
    node = driver.world.nodes["v1-1"]
    driver.world.nodes["v1-1"] = replace(node, running=False)
    await driver.loop.observer.look()
    driver.world.nodes["v1-1"] = node
    await driver.until_settled()
    assert driver.world.started.count("v1-1") == 1


async def test_a_dead_node_is_started_again(driver: Driver) -> None:
    driver.world.end("v1-1")
    await driver.until(lambda loop: driver.world.started.count("v1-1") == 2)
    await driver.until_settled()


async def test_a_frozen_node_is_killed_so_that_its_requests_go_elsewhere(driver: Driver) -> None:
    driver.world.silent.add("v1-1")
    await driver.until(lambda loop: "v1-1" in driver.world.killed)
    driver.world.silent.clear()
    await driver.until_settled()


def alarms(driver: Driver) -> list[str]:
    return [event.kind for event in driver.store.events() if event.kind.startswith("fleet.")]


async def test_a_fleet_that_comes_up_is_no_alarm(driver: Driver) -> None:
    await driver.round()
    assert alarms(driver) == ["fleet.created"]


async def test_a_fleet_that_does_not_come_up_is_an_alarm(world: FakeWorld, store: SqlStore) -> None:
    world.slow.add("v1")
    driver = await Driver(world, store, Clock()).begin()
    await driver.round()
    assert alarms(driver) == ["fleet.created"]
    driver.clock.pass_seconds(COMING_UP_SECONDS)
    await driver.round()
    assert alarms(driver) == ["fleet.created", "fleet.alarm"]
    await driver.loop.close()


async def test_a_backup_that_is_lost_and_comes_back_is_an_alarm_and_its_end(
    driver: Driver,
) -> None:
    driver.world.end("backup-v1-1")
    await driver.round()
    await driver.until_settled()
    await driver.round()
    assert alarms(driver) == ["fleet.created", "fleet.alarm", "fleet.recovered"]


async def test_one_mistaken_prober_does_not_kill_a_fleet(driver: Driver) -> None:
    driver.world.silent.update(driver.world.nodes)
    for _ in range(10):
        await driver.round()
    assert driver.world.killed == []
    assert driver.world.loaded.group("v1") is not None


async def test_the_backup_takes_over_and_gives_back(driver: Driver) -> None:
    for name in ("v1-1", "v1-2"):
        driver.world.end(name)
    driver.world.slow.update({"v1-1", "v1-2"})  # they start again, but are not ready
    await driver.round()
    assert driver.world.routing.stable == "backup"
    driver.world.slow.clear()
    await driver.until_settled()
    assert driver.world.routing.stable == "v1"


async def test_every_change_of_phase_is_an_event_with_a_reason(driver: Driver) -> None:
    await to_promoted(driver)
    events = [e for e in driver.store.events(0, 1000) if e.kind == "rollout.phase_changed"]
    phases = [event.data["phase"] for event in events]
    assert phases == ["preparing", "holding", "waiting", "preparing", "holding", "waiting",
                      "preparing", "holding", "promoted"]  # fmt: skip
    assert all(event.message for event in events)


async def test_a_second_rollout_is_refused_with_who_runs_the_first(driver: Driver) -> None:
    await driver.start()
    refused = await driver.start("v3")
    assert "started by ann" in str(refused.refusal)


async def test_a_command_accepted_before_a_crash_is_carried_out_after_it(driver: Driver) -> None:
    driver.store.add_intent("start", {"version": "v2", "plan": _plan()}, "ann")
    await driver.crash_and_restart()
    await driver.round()
    assert driver.loop.rollout is not None
    assert driver.loop.rollout.version == "v2"


async def test_one_late_answer_after_a_restart_moves_no_traffic(driver: Driver) -> None:
    loaded, routing = driver.world.loaded, driver.world.routing
    await driver.crash_and_restart()
    driver.world.silent.update({"v1-1", "v1-2"})
    await driver.round()
    assert (driver.world.loaded, driver.world.routing) == (loaded, routing)


async def test_an_nginx_that_died_with_the_controller_starts_with_the_nodes_that_still_run(
    driver: Driver,
) -> None:
    """Not without any, until they were probed: nobody would be answered meanwhile."""
    loaded, routing = driver.world.loaded, driver.world.routing
    driver.world.router_is_dead = True
    await driver.kill_and_restart()
    assert (driver.world.loaded, driver.world.routing) == (loaded, routing)


async def test_an_nginx_that_died_starts_with_what_was_rolled_back_to_without_a_controller(
    driver: Driver,
) -> None:
    """Not with what the saved state still calls stable, until the rollback is carried out."""
    await to_promoted(driver)
    assert driver.world.routing.stable == "v2"
    driver.store.add_intent("rollback", {"to": None, "force": False}, "ann")
    driver.world.router_is_dead = True
    driver.world.switches.clear()
    await driver.kill_and_restart()
    assert driver.world.routing.stable == "v1"
    await driver.round()
    assert {routing.stable for routing in driver.world.switches} == {"v1"}
    assert driver.loop.fleet.stable == "v1"


async def test_a_crash_after_every_round_changes_nothing_of_the_outcome(driver: Driver) -> None:
    await driver.start()
    for _ in range(60):
        await driver.crash_and_restart()
        await driver.round()
        await driver.loop.tick()
        if driver.loop.rollout.phase is Phase.WAITING:
            await driver.command("promote")
        if driver.loop.rollout.phase is Phase.PROMOTED:
            break
    await driver.until_settled()
    assert percents(driver) == [5, 50, 100, 0]
    assert len(driver.world.started) == len(set(driver.world.started)), "a node was started twice"


async def test_a_tick_is_short(driver: Driver) -> None:
    await driver.start()
    await driver.round()
    assert driver.loop.tick_seconds < 0.5  # 0.05 on a quiet machine; a hang is seconds


def _plan() -> dict[str, object]:
    from tests.engine.fakes import PLAN, as_json

    return as_json(PLAN)
