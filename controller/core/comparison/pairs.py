"""What two versions made of the same recordings, side by side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from controller.core.comparison.bootstrap import (
    Bootstrap,
    in_blocks,
    paired_bootstrap,
    unseen_errors,
)
from controller.core.comparison.mapsswe import Mapsswe, mapsswe, segment_differences
from controller.core.errors import Refused
from controller.core.gate import ErrorRateGate, Form, Measure
from controller.core.scoring import Score, UtteranceScore
from controller.core.scoring.units import UNITS


@dataclass(frozen=True, slots=True)
class Pair:
    """One recording: errors of both versions, the length of its reference, and its segments
    (`comparison.mapsswe`). `block` is what it shares with recordings that are alike."""

    eval_set: str
    tags: tuple[str, ...]
    block: Hashable
    stable: int
    canary: int
    length: int
    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """Rates are ratios. `points` is the difference (canary less stable) of the rates, `bounded`
    what the gate bounds: the same, or the difference as a share of stable's errors. Either is
    None where there is nothing to divide by. `unseen`: errors of a block that was not in the
    sample, over the mean base of those that were."""

    samples: int
    blocks: int
    stable: float
    canary: float
    points: Bootstrap | None
    bounded: Bootstrap | None
    segments: Mapsswe | None
    unseen: float


def pairs_of(stable: Score, canary: Score, measure: Measure, form: Form) -> tuple[Pair, ...]:
    """Raises Refused where the two scores are not of the same utterances, and where `form`
    cannot be had here."""
    before = {(u.eval_set, u.key): u for u in stable.utterances}
    after = {(u.eval_set, u.key): u for u in canary.utterances}
    alike = before.keys() == after.keys() and all(
        before[key].reference == after[key].reference for key in before
    )
    if not alike:
        raise Refused(
            "the two versions' scores are not of the same utterances, so there are no pairs to "
            "compare; nothing was decided. Evaluate both on the same eval set"
        )
    return tuple(_pair(before[key], after[key], measure, form) for key in before)


def _pair(stable: UtteranceScore, canary: UtteranceScore, measure: Measure, form: Form) -> Pair:
    errors = stable.errors(measure, form)
    named = stable.block not in {"", stable.key}
    return Pair(
        eval_set=stable.eval_set,
        tags=stable.tags,
        block=stable.block if named else (stable.eval_set, stable.key),
        stable=errors.total,
        canary=canary.errors(measure, form).total,
        length=errors.length,
        segments=_segments(stable, canary, measure, form),
    )


def _segments(
    stable: UtteranceScore, canary: UtteranceScore, measure: Measure, form: Form
) -> tuple[int, ...]:
    if measure == "ser":  # a sentence has no segments
        return ()
    texts = (stable.reference, stable.hypothesis or "", canary.hypothesis or "")
    reference, before, after = (UNITS[measure](text, form) for text in texts)
    return segment_differences(reference, before, after)


def compare(gate: ErrorRateGate, pairs: Sequence[Pair]) -> Compared:
    """What the pairs say. Raises nothing."""
    if not pairs:
        return Compared(0, 0, 0.0, 0.0, None, None, None, 0.0)
    numbers = {block: n for n, block in enumerate(dict.fromkeys(p.block for p in pairs))}
    blocks = np.array([numbers[p.block] for p in pairs], np.intp)
    rows = np.array([(p.stable, p.canary, p.length) for p in pairs], np.float64)
    stable, canary, lengths = (in_blocks(column, blocks) for column in rows.T)
    bases = stable if gate.is_relative else lengths
    points = paired_bootstrap(stable, canary, lengths) if np.any(lengths) else None
    bounded = points
    if gate.is_relative:
        bounded = paired_bootstrap(stable, canary, lengths, True) if np.any(stable) else None
    length = max(1.0, float(np.sum(lengths)))
    return Compared(
        samples=len(pairs),
        blocks=len(numbers),
        stable=float(np.sum(stable)) / length,
        canary=float(np.sum(canary)) / length,
        points=points,
        bounded=bounded,
        segments=_test(gate.measure, pairs),
        unseen=unseen_errors(stable, canary, lengths) * len(numbers) / max(1.0, np.sum(bases)),
    )


def _test(measure: Measure, pairs: Sequence[Pair]) -> Mapsswe | None:
    return None if measure == "ser" else mapsswe([s for pair in pairs for s in pair.segments])
