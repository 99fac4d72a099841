"""The same across real containers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.fault_stories import flowing_load, until_over, until_served
from tests.end_to_end.running_fleet import RunningFleet
from tests.end_to_end.stories import promotion_a_killed_node_and_rollback

pytestmark = [pytest.mark.docker, pytest.mark.model, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    folder = tmp_path_factory.mktemp("fleet") / "my state"
    made = RunningFleet(folder, runtime="docker", service="e2e-docker")
    made.up()
    try:
        made.until_settled()
        yield made
    finally:
        made.down()


def test_promotion_a_killed_node_and_rollback_lose_no_request(containers: RunningFleet) -> None:
    promotion_a_killed_node_and_rollback(containers)


def test_a_drill_cuts_a_node_off_and_nobody_is_left_without_an_answer(
    containers: RunningFleet,
) -> None:
    """And the engine runs no more containers afterwards than before."""
    containers.until_settled()
    before = containers.running_nodes()
    with containers.load(clients=2) as users:
        report = containers.rollout("drill", "run", "network-cut", check=False)
    (hit,) = report["hit"]
    assert (report["restored"], report["numbers"]["failed"]) == (True, 0), report
    assert users.failed == []
    assert containers.running_nodes()[hit] != before[hit]  # it was taken for dead, and renewed
    assert containers.running_nodes().keys() == before.keys()
    assert report["outcome"] == "passed" or all("the bound is" in why for why in report["reasons"])


def test_a_new_controller_adopts_the_containers_and_nobody_notices(
    containers: RunningFleet,
) -> None:
    with flowing_load(containers) as load:
        before = containers.running_nodes()
        containers.kill_controller()
        until_served(containers, load, time.time())
        containers.up()
        until_over(containers, load, lambda: True)
    assert load.failed == []
    assert containers.running_nodes() == before
