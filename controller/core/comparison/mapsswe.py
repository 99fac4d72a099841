"""Matched-pairs sentence-segment word error test (MAPSSWE).

Gillick & Cox (1989), "Some statistical issues in the comparison of speech recognition
algorithms"; segments as NIST's sc_stats (SCTK) cuts them: between stretches of two or more units
that both versions have right. What both got right says nothing, and errors that belong together
stay together, so segments are nearly independent of one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.comparison.alignment import Aligned, align_as_sclite
from controller.core.comparison.student import NORMAL

_RIGHT_BETWEEN: Final = 2  # units that both have right between two segments, as in SCTK


@dataclass(frozen=True, slots=True)
class Mapsswe:
    """`mean` and `deviation`: errors per segment, stable's less the canary's, as sc_stats has
    them. `z` is above 0 where the canary is better; `p` is two-sided: "they are alike"."""

    segments: int
    mean: float
    deviation: float
    z: float
    p: float


def mapsswe(differences: Sequence[int]) -> Mapsswe:
    """The test over all segments; no evidence (z 0, p 1) where they do not vary."""
    n = len(differences)
    mean = sum(differences) / n if n else 0.0
    squares = sum((d - mean) ** 2 for d in differences)
    if n < 2 or squares == 0:
        return Mapsswe(n, mean, 0.0, 0.0, 1.0)
    deviation = math.sqrt(squares / (n - 1))
    z = mean / (deviation / math.sqrt(n))
    return Mapsswe(n, mean, deviation, z, 2 * NORMAL.cdf(-abs(z)))


def segment_differences(
    reference: Sequence[str], stable: Sequence[str], canary: Sequence[str]
) -> tuple[int, ...]:
    """One recording's segments: errors of stable less those of the canary, in units."""
    if list(stable) == list(reference) == list(canary):
        return ()
    return tuple(_segments(align_as_sclite(reference, stable), align_as_sclite(reference, canary)))


def _segments(stable: Aligned, canary: Aligned) -> Iterator[int]:
    """A segment opens at the first error of either and closes after two units in a row that
    both have right; an insertion between those two keeps it open."""
    difference, is_open, right = 0, False, 0
    ends = zip(stable.inserted, canary.inserted, strict=True)
    units = zip((*stable.wrong, False), (*canary.wrong, False), strict=True)
    for (before, after), (was_wrong, is_wrong) in zip(ends, units, strict=True):
        if before or after:
            is_open, right = True, 0
        right = 0 if was_wrong or is_wrong else right + 1
        is_open = is_open or was_wrong or is_wrong
        difference += before - after + was_wrong - is_wrong
        if is_open and right == _RIGHT_BETWEEN:
            yield difference
            difference, is_open = 0, False
    if is_open:
        yield difference
