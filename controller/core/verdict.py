"""Is the canary's error rate worse than stable's by more than a bound?

Both versions transcribe the same recordings, so utterances are compared in pairs: what makes a
recording hard, makes it hard for both, and drops out. The verdict is a test of non-inferiority by
the paired bootstrap (`comparison.bootstrap`): the end of the interval that faces the bound
decides, so with a confidence of 95 % each of both wrong answers has a chance of 2.5 % where the
difference lies at the bound. The matched-pairs segment test (`comparison.mapsswe`) stands beside
it: it asks another question, whether the versions differ at all.

A gate looks at several parts: overall, eval sets, slices. A pass needs every part to pass, which
makes a wrong pass no likelier (an intersection-union test; Berger 1982). A fail of any part fails
the gate, so fails are held to Holm's correction over the parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.comparison import wording
from controller.core.comparison.holm import holm
from controller.core.comparison.pairs import Compared, Pair, compare, pairs_of
from controller.core.comparison.sample_size import (
    MINIMUM_BLOCKS,
    MINIMUM_UTTERANCES,
    check_eval_sets,
    check_size,
    required_utterances,
)
from controller.core.gate import ErrorRateGate, Form, Measure
from controller.core.scoring import Score

__all__ = [
    "MINIMUM_UTTERANCES",
    "Outcome",
    "Verdict",
    "check_eval_sets",
    "check_size",
    "judge",
    "required_utterances",
]


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rates, `difference` (canary less stable) and its `interval` are ratios: 0.05 is 5 %.

    `gate` is the gate's name and the part that was judged: `overall`, an eval set, or `#tag`.
    `samples` counts pairs of utterances, `blocks` the speakers or recordings that they are of;
    `reason` says it in words, in percentage points. `relative_interval` is that of the difference
    as a share of stable's rate, for gates that bound it.

    p values are small where the hypothesis they are named after does not fit: `p_within` (the bound
    holds; one-sided), `p_within_holm` (adjusted for the gate's parts: it decides a fail),
    `p_beyond` (the bound is exceeded: it decides a pass), `p_alike` (no difference; two-sided, from
    `segments` of the matched-pairs segment test). None where there is nothing to tell, and in
    verdicts of earlier versions of this program. Live verdicts, of traffic and nodes
    (`core.live`), have `keys`, the canary's sticky keys (of nodes: nodes), and none of these; their
    `samples` are the canary's requests (of nodes: looks), their rates of memory shares of the limit
    an hour."""

    gate: str
    verdict: Outcome
    stable: float
    canary: float
    difference: float
    interval: tuple[float, float]
    samples: int
    reason: str
    measure: Measure | None = None
    form: Form | None = None
    confidence: float | None = None
    blocks: int | None = None
    probability_of_improvement: float | None = None
    relative_interval: tuple[float, float] | None = None
    p_within: float | None = None
    p_within_holm: float | None = None
    p_beyond: float | None = None
    p_alike: float | None = None
    segments: int | None = None
    keys: int | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is of live traffic or nodes, not of an eval set."""
        return self.keys is not None


def judge(gate: ErrorRateGate, stable: Score, canary: Score) -> tuple[Verdict, ...]:
    """One verdict on the gate's eval sets together, then one on each, then one on each slice.

    fail: the rise is surely above the bound, with Holm's correction. pass: surely not. Otherwise
    inconclusive, with what it would take to know. Raises Refused where the two scores are not of
    the same utterances, or numbers cannot be compared by value here."""
    names = gate.eval_sets or stable.eval_sets
    pairs = pairs_of(stable.of(*names), canary.of(*names), gate.measure, gate.form)
    parts = [(name, tuple(part)) for name, part in _parts(gate, names, pairs)]
    compared = {part: compare(gate, part) for part in dict.fromkeys(part for _, part in parts)}
    adjusted = _adjusted(gate, compared)
    return tuple(
        _verdict(gate, name, compared[part], adjusted.get(part), len(adjusted))
        for name, part in parts
    )


def _parts(
    gate: ErrorRateGate, eval_sets: Sequence[str], pairs: Sequence[Pair]
) -> Iterator[tuple[str, Sequence[Pair]]]:
    yield "overall", pairs
    for name in eval_sets:
        yield name, [pair for pair in pairs if pair.eval_set == name]
    for tag in gate.slices:
        yield f"#{tag}", [pair for pair in pairs if tag in pair.tags]


def _adjusted(
    gate: ErrorRateGate, compared: Mapping[tuple[Pair, ...], Compared]
) -> dict[tuple[Pair, ...], float]:
    """Holm's p value that the bound holds, for the parts that are large enough to decide. Parts
    of the same recordings are one."""
    p_values = {
        part: found.bounded.p_at_most(gate.bound)
        for part, found in compared.items()
        if found.bounded is not None and _decides(found)
    }
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _decides(compared: Compared) -> bool:
    return compared.samples >= MINIMUM_UTTERANCES and compared.blocks >= MINIMUM_BLOCKS


def _verdict(
    gate: ErrorRateGate, part: str, compared: Compared, p_holm: float | None, one_of: int
) -> Verdict:
    outcome = _outcome(gate, compared, p_holm)
    points, bounded, segments = compared.points, compared.bounded, compared.segments
    confidence = gate.confidence / 100
    return Verdict(
        gate=f"{gate.name} {part}",
        verdict=outcome,
        stable=compared.stable,
        canary=compared.canary,
        difference=points.estimate if points else 0.0,
        interval=points.interval(confidence) if points else (-1.0, 1.0),
        samples=compared.samples,
        reason=_reason(gate, outcome, compared, one_of),
        measure=gate.measure,
        form=gate.form,
        confidence=gate.confidence,
        blocks=compared.blocks,
        probability_of_improvement=points.improvement if points else None,
        relative_interval=bounded.interval(confidence) if bounded and gate.is_relative else None,
        p_within=bounded.p_at_most(gate.bound) if bounded else None,
        p_within_holm=p_holm,
        p_beyond=bounded.p_above(gate.bound) if bounded else None,
        p_alike=segments.p if segments else None,
        segments=segments.segments if segments else None,
    )


def _outcome(gate: ErrorRateGate, compared: Compared, p_holm: float | None) -> Outcome:
    if p_holm is None or compared.bounded is None:
        return Outcome.INCONCLUSIVE
    if p_holm <= gate.level:
        return Outcome.FAIL
    if compared.bounded.p_above(gate.bound) <= gate.level:
        return Outcome.PASS
    return Outcome.INCONCLUSIVE


def _reason(gate: ErrorRateGate, outcome: Outcome, compared: Compared, one_of: int) -> str:
    match outcome:
        case Outcome.PASS:
            return wording.passed(gate, compared)
        case Outcome.FAIL:
            return wording.failed(gate, compared)
        case Outcome.INCONCLUSIVE:
            return wording.inconclusive(gate, compared, one_of)
