"""What benchmarks/probe.py measures with, and that it runs."""

from __future__ import annotations

import os

import pytest

from benchmarks.probe import is_good, measure, round_seconds
from benchmarks.probe_nodes import ProbeNodes


def test_a_round_ends_with_the_last_answer_to_what_was_asked_in_it() -> None:
    answers = [(10.0, 10.2), (10.5, 11.4), (11.0, 11.1), (11.3, 11.9)]
    assert round_seconds([10.0, 11.0], answers) == pytest.approx([1.4, 0.9])


def test_a_node_that_was_left_out_or_taken_for_dead_spoils_the_result() -> None:
    good = {"failed": 0, "left_out": 0, "still_healthy": True, "round_seconds_p99": 0.8,
            "lag_ms_max": 9.0}  # fmt: skip
    assert is_good(good)
    for bad in ({"failed": 1}, {"left_out": 1}, {"still_healthy": False}, {"lag_ms_max": 260.0}):
        assert not is_good(good | bad)


async def test_fifty_nodes_in_another_process_are_probed_and_stay_healthy() -> None:
    with ProbeNodes(50, os.sched_getaffinity(0)) as nodes:
        found = await measure(nodes.addresses, rounds=2)
    assert (found["nodes"], found["healthy"], found["still_healthy"]) == (50, True, True)
    assert 0 < found["answer_ms_p50"] <= found["answer_ms_p99"]
    assert found["round_seconds_p99"] > 0.7  # spread on purpose
