"""The other half of the faults, in containers: see test_faults_process.py."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

import pytest

from benchmarks.faults_injected.hands import Hands, hands_of, small_disk
from controller.adapters.routing_switch import SOCKET
from tests.end_to_end.fault_stories import (
    flowing_load,
    is_replaced,
    until_over,
    until_served,
)
from tests.end_to_end.running_fleet import Load, RunningFleet

pytestmark = [pytest.mark.docker, pytest.mark.model, pytest.mark.timeout(600)]
IS_ROOT: Final = os.geteuid() == 0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """One node of it has a small disk of its own, where we may mount one."""
    made = RunningFleet(tmp_path_factory.mktemp("faults"), runtime="docker", service="e2e-faults")
    disk = small_disk(made.state_dir / "nodes" / "v1-2") if IS_ROOT else contextlib.nullcontext()
    with disk:
        made.up()
        try:
            made.until_settled()
            yield made
        finally:
            made.down()


@pytest.fixture(scope="module")
def hands(fleet: RunningFleet) -> Hands:
    return hands_of(fleet)


@pytest.fixture
def load(fleet: RunningFleet) -> Iterator[Load]:
    with flowing_load(fleet) as load:
        yield load


@pytest.mark.skipif(not IS_ROOT, reason="packets are dropped by root only")
def test_a_node_that_is_cut_off_silently_is_replaced_and_its_requests_are_answered(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    replaced = is_replaced(fleet, "v1-1")
    hands.cut("v1-1")
    until_over(fleet, load, replaced)
    assert load.failed == []


def test_all_stable_nodes_die_and_the_backup_answers(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    killed = is_replaced(fleet, "v1-1")
    hands.kill("v1-1", "v1-2")
    until_over(fleet, load, lambda: killed() and "backup-v1-1" in {a.node for a in load.answers})
    assert load.failed == []


def test_a_node_that_runs_a_fifth_of_the_time_costs_time_only(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    hands.hobble("v1-1", seconds=5)
    until_over(fleet, load, lambda: True)
    assert load.failed == []


@pytest.mark.skipif(not IS_ROOT, reason="a small disk is mounted by root only")
def test_a_node_whose_disk_is_full_goes_on_and_is_not_replaced(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    before = fleet.running_nodes()["v1-2"]
    with hands.full_disk("v1-2"):
        answered = len(load.answers)
        fleet.until(lambda: "v1-2" in {answer.node for answer in load.answers[answered:]})
    until_over(fleet, load, lambda: True)
    assert load.failed == []
    assert fleet.running_nodes()["v1-2"] == before


def test_the_router_is_killed_twice_without_a_controller_and_serves_again(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    """By Docker alone. The controller that comes back adopts it."""
    begun = fleet.state_dir / "router" / SOCKET
    fleet.kill_controller()
    for _ in range(2):
        hands.kill_router()
        again = until_served(fleet, load, time.time())
        fleet.until_without_controller(lambda: not begun.exists())
    fleet.up()
    until_over(fleet, load, lambda: True)
    assert [answer for answer in load.failed if answer.began > again] == []


def test_a_promotion_while_the_canary_dies_loses_nothing(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    fleet.start("v2")
    fleet.until_phase("waiting")
    hands.kill("v2-1")
    fleet.rollout("promote", "--full")
    fleet.until_phase("promoted", "rolled_back")
    until_over(fleet, load, lambda: True)
    assert load.failed == []
