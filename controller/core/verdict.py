"""Is the canary's error rate worse than stable's by more than a bound?

Both versions transcribe the same recordings, so utterances are compared in pairs: what makes a
recording hard, makes it hard for both, and drops out. The variance of the difference is that of
matched pairs (Gillick & Cox 1989, "Some statistical issues in the comparison of speech
recognition algorithms"), linearised because an error rate is a ratio of sums. It is a formula,
hence deterministic; the bootstrap of Bisani & Ney (2004) may take its place.

Its limit: errors that are rare and total (one recording in a hundred lost whole) may not occur in
a small set at all, and what does not occur has no variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.errors import Refused
from controller.core.gate import ErrorRateGate, Measure
from controller.core.scoring import Score

CONFIDENCE_Z: Final = 1.96  # two-sided 95 %
POWER_Z: Final = 0.84  # 80 %
# The standard deviation, per utterance, of the difference between two equally good versions, in
# points: that of the demo models. Yours is measured as soon as there are transcripts.
EXPECTED_SPREAD_POINTS: Final = 3.6
MINIMUM_UTTERANCES: Final = 30  # below, the normal approximation promises too much


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rates, `difference` (canary less stable) and its 95 % `interval` are ratios: 0.05 is 5 %.

    `samples` counts pairs of utterances; `reason` says it in words, in percentage points."""

    gate: str
    verdict: Outcome
    stable: float
    canary: float
    difference: float
    interval: tuple[float, float]
    samples: int
    reason: str


def judge(gate: ErrorRateGate, stable: Score, canary: Score) -> tuple[Verdict, ...]:
    """One verdict on the gate's eval sets together, then one on each.

    fail: the whole interval is above the bound. pass: none of it is. Otherwise inconclusive,
    with the number of utterances it would take. Raises Refused where the two scores are not of
    the same utterances."""
    names = gate.eval_sets or stable.eval_sets
    overall = _judge_part(gate, "overall", stable.of(*names), canary.of(*names))
    parts = (_judge_part(gate, name, stable.of(name), canary.of(name)) for name in names)
    return (overall, *parts)


def _judge_part(gate: ErrorRateGate, part: str, stable: Score, canary: Score) -> Verdict:
    pairs = _pairs(gate.measure, stable, canary)
    difference, spread = _difference(pairs)
    half_width = CONFIDENCE_Z * spread / math.sqrt(max(1, len(pairs)))
    interval = (difference - half_width, difference + half_width) if pairs else (-1.0, 1.0)
    outcome = _outcome(gate.max_increase_points / 100, interval, len(pairs))
    return Verdict(
        gate=f"{gate.name} {part}",
        verdict=outcome,
        stable=stable.rate(gate.measure),
        canary=canary.rate(gate.measure),
        difference=difference,
        interval=interval,
        samples=len(pairs),
        reason=_reason(gate, outcome, difference, interval, spread, len(pairs)),
    )


def _pairs(measure: Measure, stable: Score, canary: Score) -> list[tuple[int, int]]:
    """Per utterance: errors of the canary less those of stable, and the reference's length."""
    before = {(u.eval_set, u.key): u.errors(measure) for u in stable.utterances}
    after = {(u.eval_set, u.key): u.errors(measure) for u in canary.utterances}
    alike = before.keys() == after.keys() and all(
        before[key].length == after[key].length for key in before
    )
    if not alike:
        raise Refused(
            "the two versions' scores are not of the same utterances, so there are no pairs to "
            "compare; nothing was decided. Evaluate both on the same eval set"
        )
    return [(after[key].total - before[key].total, before[key].length) for key in before]


def _difference(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The difference of the two rates, and the standard deviation of one utterance's share in
    it (both ratios)."""
    length = sum(n for _, n in pairs)
    if not length:
        return 0.0, 0.0
    difference = sum(d for d, _ in pairs) / length
    if len(pairs) < 2:
        return difference, 0.0
    squares = sum((d - difference * n) ** 2 for d, n in pairs)
    return difference, math.sqrt(squares / (len(pairs) - 1)) * len(pairs) / length


def _outcome(bound: float, interval: tuple[float, float], samples: int) -> Outcome:
    low, high = interval
    if samples < MINIMUM_UTTERANCES:
        return Outcome.INCONCLUSIVE
    if low > bound:
        return Outcome.FAIL
    return Outcome.PASS if high <= bound else Outcome.INCONCLUSIVE


def _reason(
    gate: ErrorRateGate,
    outcome: Outcome,
    difference: float,
    interval: tuple[float, float],
    spread: float,
    samples: int,
) -> str:
    if samples == 0:
        return "no utterance was scored: nothing is known"
    low, high = (100 * end for end in interval)
    bound = gate.max_increase_points
    change = (
        f"{gate.measure.upper()} changed by {100 * difference:+.2f} points "
        f"(95 % interval {low:+.2f} to {high:+.2f}, {samples:,} utterances)"
    )
    match outcome:
        case Outcome.FAIL:
            return f"{change}: surely more than the {bound:g} allowed"
        case Outcome.PASS:
            return f"{change}: surely within the {bound:g} allowed"
        case Outcome.INCONCLUSIVE:
            return f"{change}; {bound:g} are allowed: {_needed(bound, difference, spread, samples)}"


def _needed(bound: float, difference: float, spread: float, samples: int) -> str:
    """How many utterances would decide, in words."""
    needed = max(MINIMUM_UTTERANCES, required_utterances(bound, 100 * spread))
    if needed > samples:
        return f"it takes about {_about(needed)} utterances to know"
    margin = abs(bound / 100 - difference)
    if margin * 1000 * math.sqrt(samples) < CONFIDENCE_Z * spread:  # over a million times as many
        return "the difference lies at the bound: no number of utterances would tell"
    decisive = math.ceil((CONFIDENCE_Z * spread / margin) ** 2)
    return f"so near the bound it takes about {_about(decisive)} utterances to know"


def required_utterances(bound_points: float, spread_points: float = EXPECTED_SPREAD_POINTS) -> int:
    """How many utterances let an equally good version pass a bound in 80 % of cases.

    `spread_points`: the standard deviation, per utterance, of the difference (in points). The
    square means: half the bound takes four times the utterances."""
    return math.ceil(((CONFIDENCE_Z + POWER_Z) * spread_points / bound_points) ** 2)


def check_size(gate: ErrorRateGate, sizes: Mapping[str, int]) -> None:
    """Refuse a gate that even an equally good version could hardly pass.

    `sizes`: utterances by eval set. Raises Refused with the number it would take."""
    needed = max(MINIMUM_UTTERANCES, required_utterances(gate.max_increase_points))
    for name in gate.eval_sets or sizes:
        if name not in sizes:
            raise Refused(f"gate {gate.name}: no eval set {name!r}; nothing was started")
        if sizes[name] < needed:
            raise Refused(
                f"eval set {name} has {sizes[name]:,} utterances, too few for a bound of "
                f"{gate.max_increase_points:g} points: it takes about {_about(needed)}; nothing "
                f"was started. {_remedy(gate, name, sizes[name])}"
            )


def _remedy(gate: ErrorRateGate, eval_set: str, size: int) -> str:
    leave_out = f"leave {eval_set} out of gate {gate.name}"
    if size < MINIMUM_UTTERANCES:
        return f"Add recordings, or {leave_out}"
    carries = (CONFIDENCE_Z + POWER_Z) * EXPECTED_SPREAD_POINTS / math.sqrt(size)
    bound = math.ceil(10 * carries) / 10
    return f"Add recordings, raise max_increase_points to {bound:g}, or {leave_out}"


def _about(number: int) -> str:
    """Three significant digits, rounded up: 1129 is 1,130."""
    unit = 10 ** max(0, len(str(number)) - 3)
    return f"{math.ceil(number / unit) * unit:,}"
