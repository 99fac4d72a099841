"""The canary's share of the traffic over time, as rectangles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from controller.report.record import Record, Span

_TAIL: Final = 6.0  # percent of the width
_WIDE_ENOUGH: Final = 6.0  # percent of the width, for a label


@dataclass(frozen=True, slots=True)
class Bar:
    """`left` and `width` are percent of the picture's width, `percent` the share."""

    left: float
    width: float
    percent: float
    ended: bool

    @property
    def label(self) -> str:
        return f"{self.percent:g} %" if self.width >= _WIDE_ENOUGH else ""


def bars(record: Record) -> list[Bar]:
    """Neighbours of one share are one bar. Time is to scale until the rollout ended; what holds
    since then, and since a rollback of what was promoted, has a narrow bar each."""
    steps = _steps(record)
    running = [at for at, _, ended in steps if not ended]
    if not running:
        return []
    after = len(steps) - len(running)
    end = steps[len(running)][0] if after else record.made_at.timestamp()
    scale = (100.0 - after * _TAIL) / max(end - running[0], 1e-9)
    edges = [(at - running[0]) * scale for at in running]
    edges += [100.0 - count * _TAIL for count in range(after, -1, -1)]
    return [
        Bar(round(left, 2), round(right - left, 2), percent, ended)
        for (_, percent, ended), (left, right) in zip(steps, pairwise(edges), strict=True)
    ]


def _steps(record: Record) -> list[tuple[float, float, bool]]:
    """When the share changed, to what, and whether the rollout had ended."""
    steps: list[tuple[float, float, bool]] = []
    for span in record.spans:
        step = (span.at.timestamp(), span.percent, _has_ended(record, span))
        if not steps or steps[-1][1:] != step[1:]:
            steps.append(step)
    return steps


def _has_ended(record: Record, span: Span) -> bool:
    return record.ended_at is not None and span.at >= record.ended_at
