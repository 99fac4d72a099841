"""The loop listens: what both versions heard is pulled, paired and judged."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import sqlalchemy

from controller.adapters.store import SqlStore
from controller.core.plan import Plan, Step
from controller.core.rollout import Phase
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Heard
from controller.core.verdict import Outcome
from controller.engine.ports.shadow_store import ShadowStore
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import Clock, as_json

PAIRS = 300
PLAN = Plan(
    name="shadow-first",
    steps=(Step(0, 30, shadow=100), Step(100)),
    shadow_gates=(DisagreementGate(min_pairs=100),),
    promote="auto",
)


async def listening(driver: Driver, plan: Plan = PLAN) -> Driver:
    await driver.command("start", version="v2", plan=as_json(plan))
    await driver.until(lambda loop: loop.rollout.phase is Phase.HOLDING)
    return driver


def heard(driver: Driver, request: int, text: str, copy: bool = False) -> Heard:
    node, version = ("v2-1", "v2") if copy else ("v1-1", "v1")
    cursor = int(driver.clock.now.timestamp() * 1000) + request
    entry = f"{node}-{request}"
    return Heard(node, cursor, entry, f"r{request}", version, text, copy, 4.0, "zh")


def both_hear(driver: Driver, canary: str, pairs: int = PAIRS, keys: int = 59) -> None:
    """The canary hears `canary` in each tenth; each key has a few requests."""
    world = driver.world
    for n in range(pairs):
        served = Served(
            "stable", "stable", f"k{n % keys}", 200, (), request_id=f"r{n}", shadow=True
        )
        world.served.append(served)
        world.histories.setdefault("v1-1", []).append(heard(driver, n, "今天天气很好请问"))
        text = canary if n % 10 == 0 else "今天天气很好，请问"
        world.histories.setdefault("v2-1", []).append(heard(driver, n, text, copy=True))


class FullDisk:
    tries = 0

    def cursors(self, rollout_id: str) -> dict[str, int]:
        self.tries += 1
        raise OSError("database or disk is full")

    def take_keys(self, rollout_id: str, keys: dict[str, str]) -> None:
        raise OSError("database or disk is full")


class Watched:
    """A store that sees what is written, and in which threads its tallies are gone through."""

    def __init__(self, store: ShadowStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.threads: set[threading.Thread] = set()
        self.reads = 0
        self.takes_seconds = 0.0
        self.rows = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def take(self, rollout_id: str, node: str, position: int, heard: Sequence[Heard]) -> None:
        self.rows += len(heard)
        self._store.take(rollout_id, node, position, heard)

    def tallies(self, rollout_id: str) -> list[Tally]:
        threads = self.threads
        self.reads += 1
        self._clock.pass_seconds(self.takes_seconds)

        class Tallies(list[Tally]):
            def __iter__(self) -> Iterator[Tally]:
                threads.add(threading.current_thread())
                return super().__iter__()

        return Tallies(self._store.tallies(rollout_id))


async def pulled(driver: Driver) -> Driver:
    await driver.loop.observe_traffic()
    driver.clock.pass_seconds(6)
    await driver.round()
    return driver


def verdict(driver: Driver):
    return driver.loop.verdicts(driver.loop.rollout)[-1]


async def test_the_canary_listens_and_serves_nobody(driver: Driver) -> None:
    await listening(driver)
    routing = driver.loop.router_state().routing
    assert (routing.shadow, routing.shadow_percent, routing.canary) == ("v2", 100, None)


async def test_what_agrees_passes_and_the_rollout_goes_on(driver: Driver) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "今天天气很好请问")
    await pulled(driver)
    assert (verdict(driver).verdict, verdict(driver).samples, verdict(driver).keys) == (
        Outcome.PASS, PAIRS, 59,
    )  # fmt: skip
    await driver.until(lambda loop: loop.rollout.phase is Phase.PROMOTED)
    assert driver.loop.router_state().routing.shadow is None


async def test_too_much_disagreement_sends_it_back_with_the_worst_pairs_kept(
    driver: Driver, store: SqlStore
) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "完全不同的一句话而且长得多", PAIRS)
    await pulled(driver)
    await driver.until(lambda loop: loop.rollout.phase is Phase.ROLLED_BACK)
    worst = store.shadows.disagreements(driver.loop.rollout.id, 5)
    assert worst[0].canary.text == "完全不同的一句话而且长得多"
    assert worst[0].key_hash is not None
    assert driver.loop.router_state().routing.shadow is None


async def test_a_crash_loses_no_pair_and_counts_none_twice(driver: Driver) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "今天天气很好请问", 150)
    await pulled(driver)
    await driver.crash_and_restart()
    driver.world.histories["v2-1"].append(heard(driver, 900, "你好", copy=True))
    driver.world.histories["v1-1"].append(heard(driver, 901, "没有副本"))
    await pulled(driver)
    await pulled(driver)
    assert driver.loop.shadow.overview(driver.loop.rollout)["pairs"] == 150
    served = Served("stable", "stable", "k1", 200, (), request_id="r900", shadow=True)
    driver.world.served.append(served)
    driver.world.histories["v1-1"].append(heard(driver, 900, "你好"))
    driver.world.histories["v1-1"][-1] = replace(
        driver.world.histories["v1-1"][-1], cursor=driver.world.histories["v1-1"][-2].cursor + 1
    )
    await pulled(driver)
    assert driver.loop.shadow.overview(driver.loop.rollout)["pairs"] == 151


async def test_a_crash_turns_no_user_into_many(driver: Driver) -> None:
    """Whose request it was stands in log lines that are not read again."""
    await listening(driver)
    both_hear(driver, "今天天气很好请问", keys=5)
    await driver.loop.observe_traffic()
    await driver.kill_and_restart()
    await pulled(driver)
    assert (verdict(driver).verdict, verdict(driver).keys) == (Outcome.INCONCLUSIVE, 5)


async def test_keys_that_could_not_be_written_down_are_written_later(driver: Driver) -> None:
    await listening(driver)
    both_hear(driver, "今天天气很好请问")
    disk, driver.loop.shadow._store = driver.loop.shadow._store, FullDisk()
    with pytest.raises(OSError, match="full"):
        await driver.loop.observe_traffic()
    driver.loop.shadow._store = disk
    await pulled(driver)
    assert (verdict(driver).samples, verdict(driver).keys) == (PAIRS, 59)


async def test_before_the_first_pull_of_a_new_controller_the_last_verdicts_stand(
    driver: Driver,
) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "今天天气很好请问")
    await pulled(driver)
    before = driver.loop.rollout.verdicts
    await driver.crash_and_restart()
    assert [v.verdict for v in driver.loop.shadow.verdicts(driver.loop.rollout)] == [
        v.verdict for v in before
    ]


async def test_a_node_that_does_not_answer_keeps_no_other_from_being_read(driver: Driver) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "今天天气很好请问")
    driver.world.silent.add("v1-2")
    await pulled(driver)
    assert verdict(driver).samples == PAIRS


async def test_many_users_are_judged_in_a_thread(driver: Driver) -> None:
    await listening(driver)
    both_hear(driver, "今天天气很好请问")
    driver.loop.shadow._store = watched = Watched(driver.loop.shadow._store, driver.clock)
    await pulled(driver)
    assert verdict(driver).samples == PAIRS
    assert watched.threads
    assert threading.main_thread() not in watched.threads


async def test_where_judging_takes_long_it_is_done_less_often(driver: Driver) -> None:
    await listening(driver)
    driver.loop.shadow._store = watched = Watched(driver.loop.shadow._store, driver.clock)
    watched.takes_seconds = 2.0
    await pulled(driver)
    watched.takes_seconds = 0.0
    await pulled(driver)
    read = watched.reads
    await pulled(driver)
    await pulled(driver)
    assert watched.reads == read
    driver.clock.pass_seconds(20)
    await pulled(driver)
    assert watched.reads == read + 1


async def test_it_says_how_far_they_disagree_by_slice(driver: Driver) -> None:
    await listening(driver)
    await driver.loop.observe_traffic()
    both_hear(driver, "今天天气很好请问10086")
    await pulled(driver)
    found = driver.loop.shadow.overview(driver.loop.rollout)
    assert found["texts"]["rate"] == pytest.approx(0.1)
    digits = next(part for part in found["slices"] if part["slice"] == "digits")
    assert (digits["pairs"], digits["texts"]["rate"]) == (PAIRS / 10, 1.0)


async def test_a_last_pull_that_fails_is_tried_again_now_and_then_and_not_at_every_tick(
    driver: Driver,
) -> None:
    await listening(driver)
    driver.loop.shadow._store = FullDisk()
    await driver.command("abort")
    for _ in range(9):
        await driver.round()
    assert driver.loop.shadow._store.tries == 1
    driver.clock.pass_seconds(6)
    await driver.round()
    assert driver.loop.shadow._store.tries == 2


def texts_written(driver: Driver) -> int:
    with driver.store.shadows._engine.connect() as connection:
        return connection.scalar(
            sqlalchemy.text("SELECT count(*) FROM shadow_pairs WHERE stable NOTNULL")
        )


async def test_no_controller_reads_for_a_rollout_whose_last_pull_was_done(driver: Driver) -> None:
    await listening(driver)
    both_hear(driver, "今天天气很好请问")
    await pulled(driver)
    await driver.command("abort")
    await driver.until_settled()
    before = driver.loop.shadow.overview(driver.loop.rollout)
    await driver.crash_and_restart()
    driver.loop.shadow._store = watched = Watched(driver.loop.shadow._store, driver.clock)
    await driver.until_settled()
    await pulled(driver)
    assert watched.rows == 0
    assert driver.loop.shadow.overview(driver.loop.rollout) == before


async def test_what_stable_hears_after_the_copies_is_not_kept(driver: Driver) -> None:
    steps = (Step(0, 30, shadow=100), Step(50, 9999), Step(100))
    await listening(driver, replace(PLAN, steps=steps))
    both_hear(driver, "今天天气很好请问")
    await pulled(driver)
    await driver.until(lambda loop: loop.rollout.reached_percent == 50)
    await driver.round()
    kept = texts_written(driver)
    driver.clock.pass_seconds(120)
    driver.world.histories["v1-1"] += [heard(driver, 1000 + n, "用户说的话") for n in range(100)]
    await pulled(driver)
    assert texts_written(driver) == kept


async def test_without_copies_nothing_is_pulled(driver: Driver) -> None:
    await driver.start()
    await driver.until(lambda loop: loop.rollout.percent == 5)
    both_hear(driver, "今天天气很好请问")
    await pulled(driver)
    assert driver.loop.shadow.overview(driver.loop.rollout) is None
