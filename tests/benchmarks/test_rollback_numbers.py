"""What counts as a rollback's time."""

from __future__ import annotations

import pytest

from benchmarks.canary_log import Received, received, seconds_to_last
from benchmarks.records import Record
from benchmarks.rollback import is_good, kinds, numbers
from benchmarks.rollback_rounds import Kind, Round
from controller.adapters.nginx.access_log import Attempt, Request


def a_request(pool: str, at: float, *seconds: float | None) -> Request:
    attempts = tuple(Attempt("127.0.0.1:1", 200, s) for s in seconds)
    return Request(
        at, "id", "GET", "/v1/models", 200, 100, 9.0, pool, "v2", "percent", 1, "k", "v2", "v2-1",
        attempts,
    )  # fmt: skip


def test_a_request_is_received_when_the_router_turned_to_the_canary() -> None:
    rescued = a_request("canary", 100.0, 0.25, 0.5)  # the canary failed, then stable answered
    found = received([rescued, a_request("stable", 101.0, 0.1), a_request("canary", 102.0, None)])
    assert [r.at for r in found] == [99.25, 102.0]


def test_only_requests_between_the_rollback_and_the_next_canary_count() -> None:
    log = [Received(at, "v2") for at in (99.0, 100.02, 100.01, 105.0)]
    assert seconds_to_last(log, began=100.0, until=104.0) == pytest.approx(0.02)
    assert seconds_to_last(log, began=101.0, until=104.0) == 0.0


def test_a_round_of_each_kind_follows_the_one_that_it_needs() -> None:
    order = kinds(rounds=21, commands=9, starting=3)
    assert (order.count(Kind.DRAINING), order.count(Kind.COMMAND), len(order)) == (7, 9, 33)
    assert order[0] is not Kind.DRAINING  # somebody must drain


def test_rounds_that_had_no_traffic_do_not_flatter_the_median() -> None:
    rounds = [
        Round(Kind.STEADY, "v2", 100.0, 100.1, 102.0),
        Round(Kind.STARTING, "v3", 110.0, 110.1, 112.0),
        Round(Kind.COMMAND, "v2", 120.0, 120.3, 122.0),
    ]
    log = [Received(100.05, "v2"), Received(120.2, "v2")]
    records = [Record(0, 100.04, 100.06, 200, "v2"), Record(0, 101.0, 101.1, 502, "none")]
    found = numbers(rounds, log, records)
    assert found["rollback_seconds_median"] == pytest.approx(0.05)
    assert found["command_seconds_median"] == pytest.approx(0.2)
    assert found["rollback_seconds_max_as_clients_saw"] == pytest.approx(0.04)
    assert (found["requests"], found["failed"]) == (2, 1)
    assert not is_good(found | {"share_error_points_max": 0.1})
    assert is_good(found | {"share_error_points_max": 0.1, "failed": 0})
