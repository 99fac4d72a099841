"""A canary whose GPU memory creeps up, and one whose memory only settles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.live.gate import FAIL_BUDGET, Kind, LiveGate
from controller.core.live.judge import judge_memory
from controller.core.live.memory import BLOCK_SECONDS, MemoryTrend
from controller.core.verdict import Outcome

LIMIT_BYTES: Final = 24e9
HOURS: Final = 24
FULL_AFTER_HOURS: Final = 12.0
_LEVEL: Final = 0.6  # of the limit
_SETTLES: Final = 0.08  # of the limit, over half an hour
_NOISE: Final = 0.01  # standard deviation, of the limit; half of it stays for five minutes more
_BAD_PER_SECOND_WHEN_FULL: Final = 0.05  # at 1 request/s and a share of 5 %


@dataclass(frozen=True, slots=True)
class Leaks:
    """`false`: of settled nodes, those rolled back; `hours` until a leak was found; `missed`:
    leaks not found before the memory was full."""

    false: np.ndarray[tuple[int], np.dtype[np.bool_]]
    missed: float
    hours: float


def simulate_leaks(seed: int, rollouts: int) -> Leaks:
    rng = np.random.default_rng([seed, 99])
    leak = (1 - _LEVEL - _SETTLES) / FULL_AFTER_HOURS
    settled = [_hours_to_fail(rng, 0.0) for _ in range(rollouts)]
    leaking = [_hours_to_fail(rng, leak) for _ in range(rollouts)]
    found = [hours for hours in leaking if hours < FULL_AFTER_HOURS]
    return Leaks(
        false=np.array([math.isfinite(hours) for hours in settled]),
        missed=1 - len(found) / rollouts,
        hours=float(np.mean(found)) if found else math.inf,
    )


def _hours_to_fail(rng: np.random.Generator, per_hour: float) -> float:
    """Read every five minutes; infinite where it never fails."""
    trend = MemoryTrend()
    gate = LiveGate("gpu-memory", Kind.MEMORY)
    blocks = round(HOURS * 3600 / BLOCK_SECONDS)
    hours = np.arange(blocks) * BLOCK_SECONDS / 3600
    noise = rng.normal(0, _NOISE, blocks + 1)
    used = _LEVEL + _SETTLES * (1 - np.exp(-hours / 0.15)) + per_hour * hours
    used += 0.9 * noise[1:] + 0.45 * noise[:-1]
    for hour, share in zip(hours, used, strict=True):
        trend.observe(hour * 3600, float(share) * LIMIT_BYTES, LIMIT_BYTES)
        sure = trend.evidence >= math.log(1 / FAIL_BUDGET[Kind.MEMORY])
        if sure and judge_memory(gate, {"n": trend}).verdict is Outcome.FAIL:
            return float(hour)
    return math.inf
