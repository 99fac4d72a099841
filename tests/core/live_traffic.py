"""Live traffic for tests: users who send in turn, each with its own rate of failures."""

from __future__ import annotations

import random
from collections.abc import Iterator

from controller.core.live.observation import Observation


def observation(canary: bool, key: str, ok: bool = True, **more: float | bool) -> Observation:
    values = {"empty": False, "seconds": 1.0, "audio_seconds": 5.0, "at": 0.0} | more
    return Observation(canary=canary, key=key, ok=ok, **values)  # type: ignore[arg-type]


def requests(
    seed: int, count: int, keys: int, extra: float = 0.0, share: float = 0.05
) -> Iterator[tuple[bool, str, bool]]:
    """Whether the canary got it, the key, whether it failed. Rates of keys are exponential around
    1 %; the busiest tenth of the keys makes half of the requests; `extra` is the canary's fault."""
    draw = random.Random(seed)
    rates = [min(1.0, draw.expovariate(100)) for _ in range(keys)]
    canary = [draw.random() < share for _ in range(keys)]
    busy = max(1, keys // 10)
    for _ in range(count):
        key = draw.randrange(busy) if draw.random() < 0.5 else draw.randrange(keys)
        failed = draw.random() < rates[key] or (canary[key] and draw.random() < extra)
        yield canary[key], f"k{key}", failed
