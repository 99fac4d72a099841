"""A rollout whose canary is compared with fresh nodes of the old version, in memory."""

from __future__ import annotations

from dataclasses import replace

from controller.core.live.gate import Kind, LiveGate
from controller.core.preflight import LoadCheck
from controller.core.rollout import Phase
from controller.core.verdict import Verdict
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, as_json

GATES = (LiveGate("success", Kind.SUCCESS), LiveGate("degraded", Kind.DEGRADED))
COMPARED = replace(PLAN, gates=(), eval_sets=(), live_gates=GATES, baseline=True)
GROUPS = {"stable": "v1", "canary": "v2", "baseline": "baseline"}


def users(pool: str, count: int, status: int = 200) -> list[Served]:
    """A canary's or a baseline's failure is rescued by stable: the client sees 200."""
    attempts = (("127.0.0.1:9001", status),)
    if status >= 500:
        attempts += (("127.0.0.1:9002", 200),)
    return [
        Served(pool, "percent", f"{pool}-{n % 100}", 200, attempts, group=GROUPS[pool])
        for n in range(count)
    ]


async def holding(driver: Driver) -> None:
    await driver.command("start", version="v2", plan=as_json(COMPARED))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    await driver.until_settled()
    await driver.loop.observe_traffic()  # the shares of 5 % are seen


async def see(driver: Driver, *requests: list[Served]) -> None:
    driver.world.served = [request for some in requests for request in some]
    await driver.loop.observe_traffic()
    await driver.round()


def verdict(driver: Driver, gate: str = "success") -> Verdict:
    verdicts = driver.loop.verdicts(driver.loop.rollout)
    return next(verdict for verdict in verdicts if verdict.gate == gate)


def baseline(driver: Driver) -> list[str]:
    return [name for name in driver.world.nodes if name.startswith("baseline-")]


async def test_both_are_started_together_and_traffic_begins_when_both_are_ready(
    driver: Driver,
) -> None:
    driver.world.slow.add("baseline-v1-1-1")
    await driver.command("start", version="v2", plan=as_json(COMPARED))
    for _ in range(5):
        await driver.round()
    assert set(driver.world.started[-2:]) == {"v2-1", "baseline-v1-1-1"}
    assert driver.loop.rollout.phase is Phase.PREPARING
    driver.world.slow.clear()
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    await driver.until_settled()
    routing = driver.world.routing
    assert (routing.canary_percent, routing.baseline_percent) == (5, 5)


async def test_a_canary_that_fails_where_the_baseline_does_not_is_rolled_back(
    driver: Driver,
) -> None:
    await holding(driver)
    await see(driver, users("baseline", 100), users("canary", 100, status=503))
    rollout = driver.loop.rollout
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.reason.endswith("; compared with the baseline: fresh nodes of v1")
    assert driver.world.routing.baseline is None
    await driver.until_settled()
    assert baseline(driver) == []


async def test_what_fresh_nodes_of_both_versions_do_alike_is_not_the_canarys_fault(
    driver: Driver,
) -> None:
    """The long-running stable does not do it: compared with that, the canary would go back."""
    await holding(driver)
    for _ in range(20):
        await see(
            driver,
            users("stable", 90),
            users("baseline", 4) + users("baseline", 1, status=503),
            users("canary", 4) + users("canary", 1, status=503),
        )
    assert not driver.loop.rollout.ended
    success = verdict(driver)
    assert (success.samples, success.stable) == (100, 0.2)
    assert "compared with" not in verdict(driver, "degraded").reason


async def test_requests_tell_nothing_while_the_baseline_is_away(driver: Driver) -> None:
    await holding(driver)
    driver.world.silent.add(*baseline(driver))
    await driver.until(lambda loop: loop.router_state().routing.baseline is None)
    assert driver.world.routing.canary_percent == 5
    await see(driver, [])
    await see(driver, users("canary", 100, status=503))
    assert not driver.loop.rollout.ended
    assert verdict(driver).samples == 0


async def test_it_outlives_the_controller(driver: Driver) -> None:
    await holding(driver)
    nodes, switches = baseline(driver), len(driver.world.switches)
    await driver.crash_and_restart()
    await driver.until_settled()
    assert baseline(driver) == nodes
    assert all(routing.baseline_percent == 5 for routing in driver.world.switches[switches:])
    assert driver.world.routing.baseline_percent == 5


async def test_one_that_never_comes_up_ends_the_rollout_without_a_mark_on_the_version(
    driver: Driver,
) -> None:
    driver.world.slow.add("baseline-v1-1-1")
    await driver.command("start", version="v2", plan=as_json(COMPARED))
    await driver.until(lambda loop: bool(loop.observer.addresses("v2")))
    driver.clock.pass_seconds(301)
    await driver.until(lambda loop: loop.rollout.ended)
    assert driver.loop.rollout.phase is Phase.ABORTED
    assert driver.loop.fleet.bad == frozenset()
    await driver.until(lambda loop: not baseline(driver))


async def test_it_is_what_the_preflight_measures_so_that_both_begin_warm(driver: Driver) -> None:
    plan = replace(COMPARED, load_check=LoadCheck("digits", 4, 2, max_slowdown=1000))
    await driver.command("start", version="v2", plan=as_json(plan))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    measured = {driver.world.at(address).name for address in driver.world.asked}
    assert measured == {"v2-1", "baseline-v1-1-1"}


async def test_it_leaves_with_the_last_step_and_all_its_nodes_stop(driver: Driver) -> None:
    await holding(driver)
    await driver.command("promote", full=True)
    await driver.until(lambda loop: loop.rollout.phase is Phase.PROMOTED)
    await driver.until_settled()
    assert baseline(driver) == []
    assert driver.world.routing.stable == "v2"
