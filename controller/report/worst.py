"""The worst utterances: the reference and both transcripts, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.gate import Form, Measure
from controller.core.scoring import Alignment, align, numbers_unavailable
from controller.report.words import plain

GAP: Final = "-"


@dataclass(frozen=True, slots=True)
class Cell:
    """`kind` is right, known (stable has the error, too), new, missing or put_in."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Case:
    eval_set: str
    key: str
    tags: tuple[str, ...]
    more_errors: int
    unanswered: bool  # the canary's request failed: all is missing
    texts: tuple[str, str, str]  # reference, stable, canary, as written
    lines: tuple[str, ...]  # aligned, for a fixed width
    columns: tuple[tuple[Cell, Cell, Cell], ...]


def cases(measured: Mapping[str, Any]) -> list[Case]:
    """Those that were kept; none where they were not."""
    measure: Measure = measured.get("measure", "cer")
    form: Form = measured.get("form", "written")
    if numbers_unavailable():
        form = "written"
    return [_case(item, measure, form) for item in measured.get("worst", ())]


def _case(item: Mapping[str, Any], measure: Measure, form: Form) -> Case:
    reference, stable, canary = (
        None if item[who] is None else plain(item[who]) for who in ("reference", "stable", "canary")
    )
    aligned: Alignment = align(reference or "", stable, canary, measure=measure, form=form)
    said = ["(no answer)" if text is None else text for text in (reference, stable, canary)]
    return Case(
        eval_set=plain(item["eval_set"]),
        key=plain(item["key"]),
        tags=tuple(plain(tag) for tag in item.get("tags", ())),
        more_errors=int(item["more_errors"]),
        unanswered=canary is None,
        texts=(said[0], said[1], said[2]),
        lines=aligned.lines(),
        columns=tuple(_column(*column) for column in zip(*aligned.rows, strict=True)),
    )


def _column(reference: str, stable: str, canary: str) -> tuple[Cell, Cell, Cell]:
    gap = reference == GAP
    return (
        Cell("·" if gap else plain(reference), "right"),
        _cell(reference, stable, is_new=False),
        _cell(reference, canary, is_new=stable != canary),
    )


def _cell(reference: str, heard: str, is_new: bool) -> Cell:
    if heard == reference:
        return Cell("" if heard == GAP else plain(heard), "right")
    if heard == GAP:
        return Cell("", "missing" if is_new else "known")
    return Cell(plain(heard), "new" if is_new else "known")
