from typing import Any

import pytest

from controller.failover_view import failover

WELL: dict[str, Any] = {
    "help": "none", "reason": "", "since": None, "problem": None, "held_out": [],
    "load": None, "room": None, "backup_room": None,
}  # fmt: skip


def test_a_backup_that_stands_by_and_could_take_over_is_not_mentioned() -> None:
    assert failover(WELL) == []


def test_a_controller_of_before_tells_nothing() -> None:
    assert failover(None) == []


def test_a_backup_that_shares_is_told_with_the_reason() -> None:
    reason = "stable had no ready node"
    assert failover(WELL | {"help": "shares", "reason": reason, "problem": "x"}) == [
        "! the backup shares the traffic of stable: stable had no ready node"
    ]


def test_what_would_keep_it_from_taking_over_is_told_before_the_accident() -> None:
    assert failover(WELL | {"problem": "0 of 1 backup nodes ready"}) == [
        "! the backup could not take over now: 0 of 1 backup nodes ready"
    ]


@pytest.mark.parametrize(("room", "told"), [(3.0, ", the backup's 3.0"), (None, "")])
def test_load_and_room_are_told_where_they_are_known(room: float | None, told: str) -> None:
    assert failover(WELL | {"load": 4.25, "room": 10.0, "backup_room": room}) == [
        f"load: 4.2 seconds of audio per second; stable's ready nodes can do 10.0{told}"
    ]
