"""Transcripts under their reference, in columns, for people."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from controller.core.gate import Form, Measure
from controller.core.scoring.edits import align_units
from controller.core.scoring.units import UNITS

GAP: Final = "-"  # in aligned text; never part of normalised text


@dataclass(frozen=True, slots=True)
class Alignment:
    """`rows[0]` is the reference, below it each transcript; a column is one unit or GAP."""

    rows: tuple[tuple[str, ...], ...]
    separator: str = ""

    def lines(self) -> tuple[str, ...]:
        """The rows as text of one width, for a terminal in which CJK is two cells wide."""
        widths = [max(map(display_width, column)) for column in zip(*self.rows, strict=True)]
        return tuple(
            self.separator.join(
                cell + " " * (width - display_width(cell))
                for cell, width in zip(row, widths, strict=True)
            )
            for row in self.rows
        )


def align(
    reference: str,
    *hypotheses: str | None,
    measure: Measure = "cer",
    form: Form = "written",
) -> Alignment:
    """The normalised texts under one another, in the units of the measure.

    Each transcript is aligned with the reference as it is scored. None is a failed request."""
    units = UNITS[measure]
    said = units(reference, form)
    heard = [_slots(said, units(hypothesis or "", form)) for hypothesis in hypotheses]
    rows: list[list[str]] = [[] for _ in range(1 + len(heard))]
    for index in range(len(said) + 1):  # before each unit, and at the end, what was inserted
        most = max((len(inserted[index]) for inserted, _ in heard), default=0)
        rows[0] += [GAP] * most + said[index : index + 1]
        for row, (inserted, opposite) in zip(rows[1:], heard, strict=True):
            row += inserted[index] + [GAP] * (most - len(inserted[index]))
            row += opposite[index : index + 1]
    return Alignment(tuple(map(tuple, rows)), "" if measure == "cer" else " ")


def _slots(said: list[str], heard: list[str]) -> tuple[list[list[str]], list[str]]:
    """What was inserted before each unit of the reference (and at its end), and what stands
    opposite each unit."""
    inserted: list[list[str]] = [[] for _ in range(len(said) + 1)]
    opposite = [GAP] * len(said)
    if not said:
        return [heard], opposite
    for chunk in align_units(said, heard).alignments[0]:
        units = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += units
        elif chunk.type != "delete":
            opposite[chunk.ref_start_idx : chunk.ref_end_idx] = units
    return inserted, opposite


def display_width(text: str) -> int:
    """Terminal cells: East Asian wide characters take two, combining marks none."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
