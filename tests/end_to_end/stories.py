"""What must hold in every runtime."""

from __future__ import annotations

import time

from tests.end_to_end.running_fleet import RunningFleet


def promotion_a_killed_node_and_rollback(fleet: RunningFleet) -> None:
    """v1 → v2 → v1 under load, with a kill -9 between; not one request fails."""
    with fleet.load() as load:
        fleet.start("v2")
        fleet.until_phase("waiting")
        fleet.rollout("promote")
        fleet.until_phase("promoted")
        fleet.until_settled()
        killed = fleet.running_nodes()["v2-1"]
        fleet.kill_node("v2-1")
        fleet.until(lambda: fleet.running_nodes().get("v2-1", killed) != killed)
        fleet.until_settled()
        fleet.run("rollback")
        rolled_back_at = time.time()
        fleet.until(lambda: sum(a.began > rolled_back_at for a in load.answers) > 20)
    assert load.failed == []
    assert {answer.version for answer in load.answers} == {"v1", "v2"}
    assert {a.version for a in load.answers if a.began > rolled_back_at} == {"v1"}
    fleet.until_settled()
