"""When is a request slow? When it takes longer than 95 % of stable's requests of its length.

Long audio takes long, so requests are compared within lengths that differ by less than a factor
of two. Of stable's times a histogram is kept (steps of 5 %), so memory is bounded and the limit
follows stable through the day."""

from __future__ import annotations

import math
from typing import Any, Final

_STEP: Final = math.log(1.05)
_QUANTILE: Final = 0.95
MINIMUM_REQUESTS: Final = 100  # of stable, of a length, before there is a limit


class Slowness:
    """`per_audio_second`: judge the real-time factor instead of the seconds."""

    def __init__(self, per_audio_second: bool = False) -> None:
        self.per_audio_second = per_audio_second
        self._counts: dict[int, dict[int, int]] = {}

    def observe(self, canary: bool, seconds: float, audio_seconds: float) -> bool | None:
        """Whether the request was slow; None where it is not known yet what slow is."""
        value = seconds / audio_seconds if self.per_audio_second else seconds
        step = math.floor(math.log(max(value, 1e-6)) / _STEP)
        length = math.floor(math.log2(max(audio_seconds, 0.5)))
        counts = self._counts.setdefault(length, {})
        limit = _limit(counts)
        if not canary:
            counts[step] = counts.get(step, 0) + 1
        return None if limit is None else step > limit

    def to_json(self) -> dict[str, Any]:
        return {
            "per_audio_second": self.per_audio_second,
            "counts": {
                str(length): {str(step): n for step, n in counts.items()}
                for length, counts in self._counts.items()
            },
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Slowness:
        slowness = cls(value["per_audio_second"])
        slowness._counts = {
            int(length): {int(step): n for step, n in counts.items()}
            for length, counts in value["counts"].items()
        }
        return slowness


def _limit(counts: dict[int, int]) -> int | None:
    """The step that holds the 95th percentile."""
    total = sum(counts.values())
    if total < MINIMUM_REQUESTS:
        return None
    above = (1 - _QUANTILE) * total
    for step in sorted(counts, reverse=True):
        above -= counts[step]
        if above < 0:
            return step
    return None
