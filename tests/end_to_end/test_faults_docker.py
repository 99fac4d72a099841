"""The other half of the faults, in containers: see test_faults_process.py."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

import pytest

from benchmarks.faults_injected.hands import DockerHands, Hands, end, hands_of, small_disk
from benchmarks.faults_injected.mishearing import GOLDEN, OwnModel
from controller.adapters.routing_switch import SOCKET
from tests.end_to_end.fault_stories import (
    ANSWERS,
    flowing_load,
    is_replaced,
    newly_told,
    until_over,
    until_served,
)
from tests.end_to_end.running_fleet import ROOT, RunningFleet
from tests.end_to_end.user_load import Load

pytestmark = [pytest.mark.docker, pytest.mark.model, pytest.mark.timeout(600)]
IS_ROOT: Final = os.geteuid() == 0


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> OwnModel:
    return OwnModel.copied(ROOT / "models" / "demo-v1", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, own_model: OwnModel) -> Iterator[RunningFleet]:
    """One node of it has a small disk of its own, where we may mount one; all of them hear golden
    clips."""
    made = RunningFleet(
        tmp_path_factory.mktemp("faults"),
        runtime="docker",
        service="e2e-faults",
        v1_model=own_model.path,
        probes={"golden": GOLDEN},
    )
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
    replaced, fenced = is_replaced(fleet, "v1-1"), newly_told(fleet, "node.fenced", "v1-1")
    hands.cut("v1-1")
    until_over(fleet, load, replaced)
    assert load.failed == []
    assert fenced()


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


def test_a_node_that_begins_to_hear_wrong_is_replaced_and_nobody_is_left_without_an_answer(
    fleet: RunningFleet, hands: Hands, load: Load, own_model: OwnModel
) -> None:
    (heard,) = {answer.text for answer in load.answers}
    replaced, fenced = is_replaced(fleet, "v1-1"), newly_told(fleet, "node.fenced", "v1-1")
    own_model.mishear(fleet.nodes()["v1-1"]["url"], hands.admin_token("v1-1"))
    until_over(fleet, load, replaced)
    assert load.failed == []
    (why,) = fenced()
    assert "hears golden clips wrong" in why
    assert {answer.node for answer in load.answers if answer.text != heard} <= {"v1-1"}
    assert {answer.text for answer in load.answers[-ANSWERS:]} == {heard}


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


def test_the_router_is_killed_without_a_controller_and_serves_again(
    fleet: RunningFleet, hands: Hands, load: Load
) -> None:
    """nginx by PID 1 of its container, and that by Docker; the next controller adopts it."""
    begun = fleet.state_dir / "router" / SOCKET
    assert isinstance(hands, DockerHands)
    fleet.kill_controller()
    for victims in (hands.router_family, lambda: [hands.router_keeper()]):
        end(victims())
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
