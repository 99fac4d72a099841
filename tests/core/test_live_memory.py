"""Of nodes with several memories, and of nodes that are started again."""

from __future__ import annotations

import json
import math
import random
import time

import pytest

from controller.core.live.evidence import LiveEvidence
from controller.core.live.gate import Kind, LiveGate
from controller.core.live.judge import judge_memory
from controller.core.live.memory import BLOCK_SECONDS, MemoryTrend
from controller.core.live.observation import NodeSample
from controller.core.verdict import Outcome, Verdict

GATE = LiveGate("memory", Kind.MEMORY)
GIB = 2.0**30
HOUR = 3600


def looks(
    gib_per_hour: float, hours: float, memory: str = "memory", instance: str = "1", at: float = 0
) -> list[NodeSample]:
    """One each minute of a node that may use 24 GiB and begins with 4."""
    draw = random.Random(1)
    return [
        NodeSample(
            canary=True,
            node="v2-1",
            at=at + 60 * minute,
            memory_bytes=(4 + gib_per_hour * minute / 60 + draw.gauss(0, 0.05)) * GIB,
            memory_limit_bytes=24 * GIB,
            memory=memory,
            instance=instance,
        )
        for minute in range(round(60 * hours))
    ]


def judged(*series: list[NodeSample], evidence: LiveEvidence | None = None) -> Verdict:
    evidence = evidence or LiveEvidence((GATE,))
    for samples in zip(*series, strict=True):
        evidence.observe_nodes(samples)
    (verdict,) = evidence.verdicts()
    return verdict


def test_a_leak_in_the_machines_memory_fails_though_the_gpus_is_steady() -> None:
    found = judged(looks(1.0, 6), looks(0.0, 6, memory="GPU memory of cuda:0"))
    assert found.verdict is Outcome.FAIL
    assert found.reason.startswith("v2-1: memory grows by")
    assert found.keys == 1  # node


def test_a_leak_in_a_gpus_memory_names_the_gpu() -> None:
    found = judged(looks(0.0, 6), looks(1.0, 6, memory="GPU memory of cuda:1"))
    assert found.verdict is Outcome.FAIL
    assert found.reason.startswith("v2-1: GPU memory of cuda:1 grows by")


def test_a_node_that_is_started_again_begins_a_trend_of_its_own() -> None:
    """Of five hours in one life and one in the next, the judge knows one."""
    evidence = LiveEvidence((GATE,))
    judged(looks(0.0, 5), evidence=evidence)
    found = judged(looks(0.0, 1, instance="2", at=5 * HOUR), evidence=evidence)
    assert (found.verdict, found.samples < 12) == (Outcome.INCONCLUSIVE, True)


def test_a_trend_goes_on_after_the_controllers_restart() -> None:
    evidence = LiveEvidence((GATE,))
    judged(looks(1.0, 3), evidence=evidence)
    saved = LiveEvidence.from_json((GATE,), evidence.to_json())
    later = [sample for sample in looks(1.0, 6) if sample.at >= 3 * HOUR]
    assert judged(later, evidence=saved) == judged(later, evidence=evidence)
    assert judged(evidence=saved).verdict is Outcome.FAIL


def others_take_much(minutes: int) -> list[NodeSample]:
    """A node that grows by 20 MiB an hour, surely and with 16 GiB to go. After five hours others
    leave it 1 GiB of them, for so long."""
    draw = random.Random(1)
    return [
        NodeSample(
            canary=True,
            node="v2-1",
            at=60 * minute,
            memory_bytes=(held := (2 + 0.02 * minute / 60 + draw.gauss(0, 0.001)) * GIB),
            memory_limit_bytes=held + (1 if 300 <= minute < 300 + minutes else 16) * GIB,
            instance="1",
        )
        for minute in range(420)
    ]


@pytest.mark.parametrize("minutes", [1, 20])
def test_a_moment_in_which_others_hold_much_is_not_what_is_left_for_good(minutes: int) -> None:
    evidence = LiveEvidence((GATE,))
    for sample in others_take_much(minutes):
        evidence.observe_nodes([sample])
        assert evidence.verdicts()[0].verdict is not Outcome.FAIL


def test_what_others_keep_for_long_is_not_left() -> None:
    assert judged(others_take_much(minutes=60)[:360]).verdict is Outcome.FAIL


WEEK = 2024  # blocks, and those in which a node settles


def a_week() -> MemoryTrend:
    """One look in five minutes at a node that holds 4 of 24 GiB."""
    trend = MemoryTrend()
    grow(trend, 0, WEEK, gib_per_hour=0)
    return trend


def grow(trend: MemoryTrend, begin: int, blocks: int, gib_per_hour: float) -> float:
    """From that block on; the hours until the gate fails."""
    draw = random.Random(begin)
    for block in range(blocks):
        hours = block * BLOCK_SECONDS / HOUR
        held = (4 + gib_per_hour * hours + draw.gauss(0, 0.05)) * GIB
        trend.observe((begin + block) * BLOCK_SECONDS, held, 24 * GIB)
        if judge_memory(GATE, {"v2-1: memory": trend}).verdict is Outcome.FAIL:
            return hours
    return math.inf


def test_a_leak_that_begins_after_a_week_is_found_before_the_memory_is_full() -> None:
    assert grow(a_week(), WEEK, blocks=240, gib_per_hour=1) < 20


def test_a_trend_of_more_than_a_week_goes_on_after_the_controllers_restart() -> None:
    trend = a_week()
    grow(trend, WEEK, blocks=20, gib_per_hour=0)
    saved = MemoryTrend.from_json(json.loads(json.dumps(trend.to_json())))
    for each in (trend, saved):
        grow(each, WEEK + 20, blocks=20, gib_per_hour=1)
    assert saved.to_json() == trend.to_json()


def test_a_look_at_a_long_trend_takes_no_time() -> None:
    """Ten nodes with two memories each are looked at every second."""
    trends = dict.fromkeys((f"v2-{n}: memory" for n in range(20)), a_week())
    began = time.process_time()
    for _ in range(100):
        judge_memory(GATE, trends)
    assert time.process_time() - began < 0.5  # 4 s where each look measures anew
