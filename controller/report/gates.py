"""One verdict as a line of numbers and as the geometry of its picture.

Verdicts are read as the audit has them: what an earlier or later program did not write is left
out, and what it wrote more is shown as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.gate import ErrorRateGate
from controller.core.live.gate import OF_NODES, LiveGate
from controller.core.plan import Gate, Plan
from controller.core.review.gate import PreferenceGate
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.strain import SLOW_ALONE, StrainGate
from controller.report.words import plain

SIGNS: Final = {"pass": "✓", "fail": "✕", "inconclusive": "?"}
WORDS: Final = {"pass": "Pass", "fail": "Fail", "inconclusive": "Undecided"}
_SHOWN: Final = {
    "gate", "verdict", "stable", "canary", "difference", "interval", "relative_interval",
    "samples", "reason", "measure", "form", "keys",
}  # fmt: skip


_LIVE: Final = {
    "success": "failed requests",
    "empty": "empty answers",
    "latency": "requests slower than 95 % of stable's",
    "real-time-factor": "requests slow for their length",
    "memory": "memory",
    "degraded": "degraded nodes",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Horizontal places in percent of the width. `bound` is None where the plan has none."""

    low: float
    high: float
    estimate: float
    same: float
    bound: float | None
    bound_label: str

    @property
    def beyond(self) -> tuple[float, float] | None:
        """The part of the interval on the side where users feel it: begin and width."""
        if self.bound is None or self.high <= self.bound:
            return None
        begin = max(self.low, self.bound)
        return begin, self.high - begin


@dataclass(frozen=True, slots=True)
class GateLine:
    gate: str
    verdict: str
    kind: str  # CER, written
    stable: str
    canary: str
    change: str  # -0.40 [-0.62, -0.18] points
    samples: str
    reason: str
    more: tuple[tuple[str, str], ...]
    picture: Picture | None

    @property
    def sign(self) -> str:
        return SIGNS.get(self.verdict, "?")

    @property
    def word(self) -> str:
        return WORDS.get(self.verdict, self.verdict)


def gate_line(verdict: Mapping[str, Any], plan: Plan) -> GateLine:
    gate = _gate(str(verdict.get("gate", "")), plan)
    return GateLine(
        gate=plain(verdict.get("gate", "?")),
        verdict=str(verdict.get("verdict", "?")),
        kind=_kind(verdict, gate),
        stable="–" if isinstance(gate, DisagreementGate) else _percent(verdict.get("stable")),
        canary=_percent(verdict.get("canary")),
        change=_change(verdict),
        samples=_samples(verdict, gate),
        reason=plain(verdict.get("reason", "")),
        more=tuple(
            (key.replace("_", " "), _number(value))
            for key, value in verdict.items()
            if key not in _SHOWN and value is not None
        ),
        picture=_picture(verdict, gate),
    )


def _kind(verdict: Mapping[str, Any], gate: Gate | None) -> str:
    """`CER, written`, or what a live gate looks at."""
    if isinstance(gate, LiveGate):
        return _LIVE.get(gate.kind, gate.kind)
    if isinstance(gate, PreferenceGate):
        return "preferred by people"
    if isinstance(gate, StrainGate):
        return "stable's slow requests while others are copied"
    if isinstance(gate, DisagreementGate):
        return f"{'tokens' if gate.measure == 'mer' else 'texts'} that differ, {gate.form}"
    measure = verdict.get("measure") or getattr(gate, "measure", "")
    form = verdict.get("form") or getattr(gate, "form", "")
    return plain(", ".join(part for part in (str(measure).upper(), str(form)) if part))


def _gate(name: str, plan: Plan) -> Gate | None:
    """The plan's gate that a verdict is of, or None; its name stands before the part."""
    named = [gate for gate in plan.every_gate if f"{name} ".startswith(f"{gate.name} ")]
    return max(named, key=lambda gate: len(gate.name), default=None)


def _samples(verdict: Mapping[str, Any], gate: Gate | None) -> str:
    """`500`; of live traffic `5,310 of 212 users`, which are its unit; or `3 looks, nodes: 1`."""
    counts = [verdict[key] for key in ("samples", "keys") if isinstance(verdict.get(key), int)]
    if not counts:
        return "?"
    if len(counts) == 1:
        return f"{counts[0]:,}"
    if isinstance(gate, PreferenceGate):
        return f"{counts[0]:,} pairs, people: {counts[1]:,}"
    if isinstance(gate, DisagreementGate):
        return f"{counts[0]:,} pairs of {counts[1]:,} users"
    if isinstance(gate, LiveGate) and gate.kind in OF_NODES:
        return f"{counts[0]:,} looks, nodes: {counts[1]:,}"
    return f"{counts[0]:,} of {counts[1]:,} users"


def _percent(value: object) -> str:
    return f"{100 * value:.2f} %" if isinstance(value, int | float) else "?"


def _change(verdict: Mapping[str, Any]) -> str:
    interval, difference = verdict.get("interval"), verdict.get("difference")
    if not _are_numbers(difference, *(interval or [None])):
        return "?"
    low, high = interval or (0.0, 0.0)
    return f"{100 * (difference or 0):+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points"


def _picture(verdict: Mapping[str, Any], gate: Gate | None) -> Picture | None:
    """In points, or in percent of stable's rate where the gate's bound is one. None of people's
    votes: what lies on the right is worse in all the others, and better there."""
    if isinstance(gate, PreferenceGate):
        return None
    relative = bool(getattr(gate, "is_relative", False))
    interval = verdict.get("relative_interval" if relative else "interval")
    difference, stable = verdict.get("difference"), verdict.get("stable")
    if not interval or not _are_numbers(difference, stable, *interval) or (relative and not stable):
        return None
    if verdict.get("keys") is not None and interval[0] == interval[1]:  # of nodes
        return None
    estimate = float(difference or 0) / (float(stable or 0) if relative else 1.0)
    bound = _bound(gate)
    label = "" if bound is None else f"+{100 * bound:g}{' %' if relative else ''}"
    return _placed(interval[0], interval[1], estimate, bound, label)


def _bound(gate: Gate | None) -> float | None:
    """What passes, as a ratio; None where the gate has no such bound."""
    if isinstance(gate, LiveGate):
        return gate.margin_points / 100
    if isinstance(gate, DisagreementGate):
        return gate.max_percent / 100
    if isinstance(gate, StrainGate):
        return gate.max_slow_percent / 100 - SLOW_ALONE
    return gate.bound if isinstance(gate, ErrorRateGate) else None


def _placed(low: float, high: float, estimate: float, bound: float | None, label: str) -> Picture:
    ends = [low, high, estimate, 0.0] + ([bound] if bound is not None else [])
    margin = max(max(ends) - min(ends), 1e-6) * 0.08
    left, width = min(ends) - margin, max(ends) - min(ends) + 2 * margin

    def place(value: float) -> float:
        return round(100 * (value - left) / width, 2)

    edge = None if bound is None else place(bound)
    return Picture(place(low), place(high), place(estimate), place(0.0), edge, label)


def _are_numbers(*values: object) -> bool:
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def _number(value: object) -> str:
    match value:
        case bool() | int():
            return str(value)
        case float():
            return f"{value:.3g}"
        case list() | tuple():
            return f"[{', '.join(map(_number, value))}]"
        case _:
            return plain(value)
