"""Alignment of a transcript with its reference as NIST's sclite makes it.

Substitutions cost 4, insertions and deletions 3; where ways cost the same, sclite takes the
substitution (or match) before the insertion before the deletion. Other tools weigh all edits
alike, so their segments differ, and with them the matched-pairs test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.core.scoring import align_units

_SUBSTITUTION: Final = 4
_GAP: Final = 3
_MOST_CELLS: Final = 4_000_000  # 16 MB; more (2,000 units a side) is aligned with equal weights


@dataclass(frozen=True, slots=True)
class Aligned:
    """`wrong[i]`: whether reference unit i was substituted or deleted. `inserted[i]`: how many
    units were inserted before it; the last entry is those after the end."""

    wrong: tuple[bool, ...]
    inserted: tuple[int, ...]


def align_as_sclite(reference: Sequence[str], hypothesis: Sequence[str]) -> Aligned:
    """Raises nothing. Either side may be empty."""
    if list(reference) == list(hypothesis):
        return Aligned((False,) * len(reference), (0,) * (len(reference) + 1))
    if len(reference) * len(hypothesis) > _MOST_CELLS:
        return _align_with_equal_weights(reference, hypothesis)
    numbers = {unit: index for index, unit in enumerate(dict.fromkeys((*reference, *hypothesis)))}
    said = np.array([numbers[unit] for unit in reference], np.int32)
    heard = np.array([numbers[unit] for unit in hypothesis], np.int32)
    return _traced(_costs(said, heard), said, heard)


def _costs(said: NDArray[np.int32], heard: NDArray[np.int32]) -> NDArray[np.int32]:
    """`[i, j]`: the least cost of aligning the first i units with the first j."""
    gaps = _GAP * np.arange(len(heard) + 1, dtype=np.int32)
    costs = np.empty((len(said) + 1, len(heard) + 1), np.int32)
    costs[0] = gaps
    for i, unit in enumerate(said, start=1):
        above = costs[i - 1]
        best = above + _GAP
        np.minimum(best[1:], above[:-1] + _SUBSTITUTION * (heard != unit), out=best[1:])
        costs[i] = np.minimum.accumulate(best - gaps) + gaps  # then any number of insertions
    return costs


def _traced(costs: NDArray[np.int32], said: NDArray[np.int32], heard: NDArray[np.int32]) -> Aligned:
    wrong, inserted = [False] * len(said), [0] * (len(said) + 1)
    i, j = len(said), len(heard)
    while i or j:
        differs = bool(i and j and said[i - 1] != heard[j - 1])
        if i and j and costs[i, j] == costs[i - 1, j - 1] + _SUBSTITUTION * differs:
            i, j = i - 1, j - 1
            wrong[i] = differs
        elif j and costs[i, j] == costs[i, j - 1] + _GAP:
            j -= 1
            inserted[i] += 1
        else:
            i -= 1
            wrong[i] = True
    return Aligned(tuple(wrong), tuple(inserted))


def _align_with_equal_weights(reference: Sequence[str], hypothesis: Sequence[str]) -> Aligned:
    wrong, inserted = [False] * len(reference), [0] * (len(reference) + 1)
    for chunk in align_units(list(reference), list(hypothesis)).alignments[0]:
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            for index in range(chunk.ref_start_idx, chunk.ref_end_idx):
                wrong[index] = True
    return Aligned(tuple(wrong), tuple(inserted))
