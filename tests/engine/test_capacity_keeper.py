"""What the router's log says of the load on stable."""

from __future__ import annotations

import dataclasses

import pytest

from controller.engine.capacity_keeper import CapacityKeeper
from controller.engine.records import Served
from tests.engine.fakes import CONFIG
from tests.engine.requests_served import served

ANSWERED = dataclasses.replace(served(("n:1", 200), at=1059), audio_seconds=120.0)
BUSY = ("n:1", 429)


def load(*requests: Served) -> float | None:
    keeper = CapacityKeeper(CONFIG)
    keeper.begin(1000)
    keeper.observe(requests, lambda _address: "v1-1")
    keeper.measure(1060, ["v1-1"], ["v1-1"], [], ["v1-1"])
    return keeper.load


@pytest.mark.parametrize(
    "refused",
    [
        served(BUSY, at=1059, status=429),
        served(BUSY, at=1059, status=503),
        dataclasses.replace(served(BUSY, at=1059, status=202), kept=True),
    ],
)
def test_what_nodes_had_no_room_for_is_load_also_where_the_spool_kept_it(refused: Served) -> None:
    alone = load(ANSWERED)
    assert alone is not None
    assert load(ANSWERED, refused) == 2 * alone
