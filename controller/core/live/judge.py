"""From evidence to a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from controller.core.live.event_test import EventTest
from controller.core.live.gate import FAIL_BUDGET, PASS_BUDGET, Kind, LiveGate
from controller.core.live.memory import HORIZON_HOURS, MINIMUM_BLOCKS, MemoryTrend
from controller.core.live.pool_counts import interval
from controller.core.verdict import Outcome, Verdict

DEGRADED_LOOKS: Final = 3  # in a row
_BAD: Final = {
    Kind.SUCCESS: "failed requests",
    Kind.EMPTY: "empty answers",
    Kind.LATENCY: "slow requests",
    Kind.REAL_TIME_FACTOR: "requests slow for their length",
}


def judge_events(gate: LiveGate, test: EventTest) -> Verdict:
    """Of requests: fail as soon as it is sure that the canary is worse at all; pass once it is
    sure that it is not worse by the margin. Reading it often costs nothing."""
    outcome, why = _events_outcome(gate, test)
    stable, canary = test.stable, test.canary
    low, high = interval(stable, canary)
    rates = (
        f"{_BAD[gate.kind]}: {100 * canary.rate:.2f} % of {canary.requests:,} against "
        f"{100 * stable.rate:.2f} % of {stable.requests:,} ({canary.keys:,} keys against "
        f"{stable.keys:,})"
    )
    return Verdict(
        gate=gate.name,
        verdict=outcome,
        stable=stable.rate,
        canary=canary.rate,
        difference=canary.rate - stable.rate,
        interval=(low, high),
        samples=canary.requests,
        keys=canary.keys,
        reason=f"{rates}: {why}",
    )


def _events_outcome(gate: LiveGate, test: EventTest) -> tuple[Outcome, str]:
    canary, margin = test.canary, f"{gate.margin_points:g} points"
    if test.worse >= math.log(1 / FAIL_BUDGET[gate.kind]):
        return Outcome.FAIL, f"surely worse ({_odds(test.worse)})"
    if min(canary.keys, test.stable.keys) < gate.min_keys:
        return (
            Outcome.INCONCLUSIVE,
            f"too few keys: requests of one user are alike, and it takes {gate.min_keys}",
        )
    if canary.requests < gate.min_requests:
        return Outcome.INCONCLUSIVE, f"too few requests: it takes {gate.min_requests:,}"
    close = canary.rate - test.stable.rate <= test.margin
    if close and test.within >= math.log(1 / PASS_BUDGET):
        return Outcome.PASS, f"surely not worse by {margin} ({_odds(test.within)})"
    return Outcome.INCONCLUSIVE, f"neither surely worse nor surely within {margin} yet"


def judge_memory(gate: LiveGate, trends: Mapping[str, MemoryTrend]) -> Verdict:
    """Of the canary's nodes' memories, the one that is full first. `trends`: by `node: memory`."""
    if not trends:
        return _of_nodes(gate, Outcome.INCONCLUSIVE, "no node tells its memory", 0, 0)
    memory, trend = min(trends.items(), key=lambda item: item[1].hours_left)
    growth = trend.bytes_per_hour / trend.limit_bytes if trend.limit_bytes else 0.0
    outcome, why = _memory_outcome(trend)
    reason = f"{memory} grows by {100 * growth:.2f} % of its limit an hour: {why}"
    nodes = {key.partition(":")[0] for key in trends}
    return _of_nodes(gate, outcome, reason, trend.blocks, len(nodes), growth)


def _memory_outcome(trend: MemoryTrend) -> tuple[Outcome, str]:
    soon = trend.hours_left < HORIZON_HOURS
    if soon and trend.evidence >= math.log(1 / FAIL_BUDGET[Kind.MEMORY]):
        return Outcome.FAIL, f"full in about {trend.hours_left:.0f} hours"
    if trend.blocks < MINIMUM_BLOCKS:
        return Outcome.INCONCLUSIVE, "seen for less than two hours and a half"
    if trend.evidence < math.log(1 / PASS_BUDGET) or not soon:
        return Outcome.PASS, f"not full within {HORIZON_HOURS:g} hours"
    return Outcome.INCONCLUSIVE, "it may be a leak"


def judge_degraded(gate: LiveGate, in_a_row: Mapping[str, int], looks: int) -> Verdict:
    """`in_a_row`: by node of the canary, looks at which it was degraded, up to now."""
    bad = sorted(node for node, count in in_a_row.items() if count >= DEGRADED_LOOKS)
    rate = len(bad) / len(in_a_row) if in_a_row else 0.0
    if bad:
        reason = f"degraded: {', '.join(bad)} ({len(bad)} of {len(in_a_row)} nodes)"
        return _of_nodes(gate, Outcome.FAIL, reason, looks, len(in_a_row), rate)
    if looks < DEGRADED_LOOKS:
        reason = f"looked at {looks} times: it takes {DEGRADED_LOOKS}"
        return _of_nodes(gate, Outcome.INCONCLUSIVE, reason, looks, len(in_a_row))
    return _of_nodes(gate, Outcome.PASS, "no node is degraded", looks, len(in_a_row))


def _of_nodes(
    gate: LiveGate, outcome: Outcome, reason: str, samples: int, keys: int, canary: float = 0.0
) -> Verdict:
    return Verdict(
        gate.name, outcome, 0.0, canary, canary, (canary, canary), samples, reason, keys=keys
    )


def _odds(log_evidence: float) -> str:
    return f"evidence {math.exp(min(log_evidence, 20.0)):,.0f} to 1"
