"""Edits between two lists of units: substitutions, deletions and insertions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import jiwer

_AS_THEY_ARE: Final = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])


@dataclass(frozen=True, slots=True)
class Errors:
    """Edits against `length` reference units (characters, words or sentences)."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """A ratio: 0.05 is 5 %; may exceed 1. Without reference units: the edits themselves."""
        return self.total / max(1, self.length)

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )


def count_edits(reference: list[str], hypothesis: list[str]) -> Errors:
    """The fewest edits that turn `hypothesis` into `reference`.

    Against an empty reference (silence) each unit that was heard is an insertion."""
    if reference == hypothesis:
        return Errors(length=len(reference))
    if not reference:  # jiwer has no rate for it
        return Errors(insertions=len(hypothesis))
    found = align_units(reference, hypothesis)
    return Errors(found.substitutions, found.deletions, found.insertions, len(reference))


def align_units(reference: list[str], hypothesis: list[str]) -> jiwer.WordOutput:
    """jiwer's minimum-edit alignment of two lists of units without spaces in them."""
    return jiwer.process_words(
        " ".join(reference), " ".join(hypothesis), _AS_THEY_ARE, _AS_THEY_ARE
    )
