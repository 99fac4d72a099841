from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from controller.core.plan import Freeze
from controller.core.rollout import Phase, Rollout
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, FakeLog, as_json

SATURDAYS = Freeze("0 0 * * sat", 86400)  # the fakes' clock begins on one, at noon


@dataclass
class SlowLog(FakeLog):
    readers: int = 0
    most_readers: int = 0

    def read(self) -> list[Served]:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        time.sleep(0.02)
        self.readers -= 1
        return []


def asked_for(step: object = None, **plan: object) -> dict[str, object]:
    steps = (step or PLAN.steps[0], *PLAN.steps[1:])
    return as_json(replace(PLAN, steps=steps, **plan))


async def test_a_start_in_a_freeze_is_refused_and_forced_by_a_person(driver: Driver) -> None:
    plan = asked_for(freeze=(SATURDAYS,))
    refused = await driver.command("start", version="v2", plan=plan)
    assert "freezes changes until 2026-11-22 00:00" in str(refused.refusal)
    assert driver.loop.rollout is None
    forced = await driver.command("start", version="v2", plan=plan, force=True)
    assert forced.refusal is None


async def test_a_promotion_waits_for_the_end_of_a_freeze(driver: Driver) -> None:
    plan = asked_for(freeze=(SATURDAYS,), promote="auto")
    await driver.command("start", version="v2", plan=plan, force=True)
    await driver.until(lambda loop: bool(loop.rollout and loop.rollout.verdicts))
    for _ in range(5):
        await driver.round()
    assert (driver.loop.rollout.phase, driver.loop.rollout.step) == (Phase.HOLDING, 0)
    assert "frozen until" in driver.loop.next_action(driver.loop.rollout)
    driver.clock.pass_seconds(86400)
    await driver.until(lambda loop: loop.rollout.phase is Phase.PROMOTED)


async def test_where_consent_is_required_a_step_waits_for_those_who_opted_in(
    driver: Driver,
) -> None:
    plan = asked_for(replace(PLAN.steps[0], min_requests=2), promote="auto", consent="required")
    chance = Served("canary", "percent", "key", 200, (("127.0.0.1:9009", 200),))
    opted_in = replace(chance, decided_by="cookie")
    opted_out = replace(opted_in, pool="stable")
    await driver.command("start", version="v2", plan=plan)
    await driver.until(lambda loop: bool(loop.rollout and loop.rollout.verdicts))
    await driver.loop.observe_traffic()
    driver.world.served = [chance] * 9 + [opted_out] * 9 + [opted_in]
    await driver.loop.observe_traffic()
    await driver.round()
    assert "1 of 2 requests" in driver.loop.next_action(driver.loop.rollout)
    assert driver.loop.rollout.percent == 0
    driver.world.served = [opted_in]
    await driver.loop.observe_traffic()
    await driver.until(lambda loop: loop.rollout.step == 1)
    await driver.until(lambda loop: loop.rollout.reached_percent == 100)
    assert driver.loop.router_state().routing.canary_percent == 0


async def test_requests_of_the_share_before_do_not_count_for_a_step(driver: Driver) -> None:
    plan = asked_for(replace(PLAN.steps[0], min_requests=3), promote="auto")
    canary = Served("canary", "percent", "key", 200, (("127.0.0.1:9009", 200),))
    opted_in = replace(canary, decided_by="cookie")
    await driver.command("start", version="v2", plan=plan)
    await driver.until(lambda loop: bool(loop.rollout and loop.rollout.verdicts))
    driver.world.served = [canary] * 9
    await driver.loop.observe_traffic()  # logged before the share of 5 % was asked for
    driver.world.served = [canary] * 2 + [opted_in] * 9
    await driver.loop.observe_traffic()
    await driver.round()
    assert "2 of 3 requests" in driver.loop.next_action(driver.loop.rollout)
    driver.world.served = [canary]
    await driver.loop.observe_traffic()
    await driver.until(lambda loop: loop.rollout.step == 1)


async def test_requests_count_although_the_canary_was_away_for_a_moment(driver: Driver) -> None:
    plan = asked_for(replace(PLAN.steps[0], min_requests=3), promote="auto")
    canary = Served("canary", "percent", "key", 200, (("127.0.0.1:9009", 200),))
    await driver.command("start", version="v2", plan=plan)
    await driver.until(lambda loop: bool(loop.rollout and loop.rollout.verdicts))
    await driver.loop.observe_traffic()
    driver.world.served = [canary] * 2
    await driver.loop.observe_traffic()
    driver.world.slow.add("v2")
    await driver.until(lambda loop: loop.router_state().routing.canary is None)
    await driver.loop.observe_traffic()
    driver.world.slow.clear()
    await driver.until(lambda loop: loop.router_state().routing.canary == "v2")
    await driver.loop.observe_traffic()
    driver.world.served = [canary]
    await driver.loop.observe_traffic()
    await driver.until(lambda loop: loop.rollout.step == 1)


async def test_a_steps_requests_go_on_counting_after_the_controllers_restart(
    driver: Driver,
) -> None:
    plan = asked_for(replace(PLAN.steps[0], min_requests=3), promote="auto")
    canary = Served("canary", "percent", "key", 200, (("127.0.0.1:9009", 200),))
    await driver.command("start", version="v2", plan=plan)
    await driver.until(lambda loop: bool(loop.rollout and loop.rollout.verdicts))
    await driver.loop.observe_traffic()
    driver.world.served = [canary] * 2
    await driver.loop.observe_traffic()
    await driver.crash_and_restart()
    await driver.loop.observe_traffic()
    assert "2 of 3 requests" in driver.loop.next_action(driver.loop.rollout)
    driver.world.served = [canary]
    await driver.loop.observe_traffic()
    await driver.until(lambda loop: loop.rollout.step == 1)


async def test_the_access_log_is_read_by_one_at_a_time(driver: Driver) -> None:
    log = driver.loop._ports.access_log = SlowLog(driver.world)
    await asyncio.gather(*(driver.loop.observe_traffic() for _ in range(3)))
    assert log.most_readers == 1


async def test_who_forces_a_promotion_gets_the_next_step_in_a_freeze(driver: Driver) -> None:
    await driver.command("start", version="v2", plan=asked_for(freeze=(SATURDAYS,)), force=True)
    await driver.until(lambda loop: loop.rollout is not None and loop.rollout.evaluated)
    assert (await driver.command("promote")).refusal is not None
    assert (await driver.command("promote", force=True)).refusal is None
    await driver.until(lambda loop: loop.rollout.reached_percent == 50)


async def test_a_step_prepared_in_a_freeze_waits_for_its_end(driver: Driver) -> None:
    plan = asked_for(freeze=(replace(SATURDAYS, cron="0 13 * * sat"),))  # in an hour
    driver.world.slow.add("v2")
    await driver.command("start", version="v2", plan=plan)
    driver.clock.pass_seconds(3600)
    driver.world.slow.clear()
    for _ in range(5):
        await driver.round()
    assert (driver.loop.rollout.phase, driver.loop.rollout.percent) == (Phase.PREPARING, 0)
    assert "frozen until 2026-11-22 13:00" in driver.loop.next_action(driver.loop.rollout)
    driver.clock.pass_seconds(86400)
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)


async def test_an_accepted_start_that_is_none_any_more_is_refused_and_the_loop_goes_on(
    driver: Driver,
) -> None:
    misspelt = {**as_json(PLAN), "promote": "sometimes"}
    backwards = {**as_json(PLAN), "steps": [{"percent": 50}, {"percent": 5}]}
    never = asked_for(freeze=(replace(SATURDAYS, cron="0 0 30 2 *"),))
    for plan, complaint in (
        (misspelt, "promote"),
        (backwards, "does not exceed 50"),
        ("no plan", "not valid here"),
        (never, "never comes"),
    ):
        outcome = await driver.command("start", version="v2", plan=plan)
        assert complaint in str(outcome.refusal)
    assert "'plan'" in str((await driver.command("start", version="v2")).refusal)
    assert (await driver.start()).refusal is None


async def test_a_rollout_of_an_earlier_version_of_this_program_still_loads(
    driver: Driver,
) -> None:
    await driver.start()
    adapter = TypeAdapter(Rollout)
    stored = json.loads(adapter.dump_json(driver.loop.rollout))
    for new in ("forced", "overruled"):
        del stored[new]
    assert adapter.validate_python(stored) == driver.loop.rollout
