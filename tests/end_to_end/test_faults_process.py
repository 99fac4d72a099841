"""Each fault once, in either runtime, under real audio: what must stay true, not how fast it is.
The times are benchmarks/faults.py's. A killed stable node alone is in test_drills.py, a killed
controller there, in test_crashes.py and in test_docker_fleet.py; workers without memory or without
their GPU are in tests/asr_node."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from benchmarks.faults_injected.hands import Hands, hands_of
from tests.end_to_end.fault_stories import (
    flowing_load,
    is_replaced,
    newly_told,
    until_over,
    until_served,
)
from tests.end_to_end.running_fleet import RunningFleet
from tests.end_to_end.user_load import Load

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def hands(fleet: RunningFleet) -> Hands:
    return hands_of(fleet)


@pytest.fixture
def load(fleet: RunningFleet) -> Iterator[Load]:
    with flowing_load(fleet) as load:
        yield load


def test_a_frozen_node_is_replaced_and_nobody_waits_in_vain(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    replaced, fenced = is_replaced(fleet, "v1-1"), newly_told(fleet, "node.fenced", "v1-1")
    hands.freeze("v1-1")
    until_over(fleet, load, replaced)
    assert load.failed == []
    assert fenced()


def test_a_node_whose_worker_is_killed_goes_on_and_others_answer_meanwhile(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    before = fleet.running_nodes()["v1-2"]
    log = fleet.state_dir / "nodes" / "v1-2" / "node.log"
    ready = log.read_text().count('"worker.ready"')
    hands.kill_worker("v1-2")
    until_over(fleet, load, lambda: log.read_text().count('"worker.ready"') > ready)
    assert load.failed == []
    assert fleet.running_nodes()["v1-2"] == before


def test_a_killed_router_costs_the_requests_of_that_moment_only(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    restarted = newly_told(fleet, "router.restarted", "router")
    hands.kill_router()
    again = until_served(fleet, load, time.time())
    until_over(fleet, load, restarted)
    assert [answer for answer in load.failed if answer.began > again] == []


def test_reloads_at_five_a_second_cost_nobody_anything(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    for _ in range(25):
        hands.reload_router()
        time.sleep(0.2)
    until_over(fleet, load, lambda: True)
    assert load.failed == []


def test_a_canary_that_dies_is_started_again_and_costs_nobody_anything(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    fleet.start("v3")
    fleet.until_phase("waiting")
    fleet.until(lambda: "v3-1" in {answer.node for answer in load.answers})
    killed, restarted = is_replaced(fleet, "v3-1"), newly_told(fleet, "node.restarted", "v3-1")
    hands.kill("v3-1")
    until_over(fleet, load, killed)
    assert load.failed == []
    assert restarted()
    assert fleet.status()["rollout"]["phase"] == "waiting"
    fleet.rollout("abort")


def test_a_rollback_while_a_stable_node_dies_loses_nothing(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    fleet.start("v2")
    fleet.until_phase("waiting")
    fleet.until(lambda: "v2" in {answer.version for answer in load.answers})
    killed = is_replaced(fleet, "v1-2")
    hands.kill("v1-2")
    fleet.run("rollback")
    until_over(fleet, load, killed)
    assert load.failed == []
    assert fleet.status()["rollout"]["phase"] == "rolled_back"


def test_where_every_node_died_each_request_is_answered_or_refused(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    names = list(fleet.running_nodes())
    killed = is_replaced(fleet, names[0])
    hands.kill(*names)
    until_over(fleet, load, killed)
    assert {answer.status for answer in load.answers} <= {200, 503}


def test_a_damaged_history_costs_its_rows_and_no_answer(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    hands.damage_history("v1-1")
    aside = hands.data_folder("v1-1").glob
    until_over(fleet, load, lambda: list(aside("history.sqlite3.damaged-*")))
    assert load.failed == []
