"""An evaluation as a table for a terminal. Pure text from the API's answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len

_SLICES: Final = 6  # of each eval set; --json has all
_FORMS: Final = {"written": "", "numbers": " by value"}

Part = Mapping[str, Any]  # what was measured on one eval set or slice
Column = Callable[[Part], str | None]


def table(value: Mapping[str, Any]) -> list[str]:
    """A row for each version, under each eval set and those slices that tell the most. A column
    in which nothing happened is left out."""
    forms = list(value["normalisation"])
    rows = list(_rows(value["versions"]))
    columns = {"": lambda part: f"    {part['version']}"} | {
        title: column
        for title, column in _columns(forms).items()
        if any(column(row) for row in rows if isinstance(row, dict))
    }
    cells = [
        row if isinstance(row, str) else [column(row) or "-" for column in columns.values()]
        for row in rows
    ]
    lines = _aligned([list(columns), *cells])
    return [*lines, *_footnotes(value)]


def _rows(versions: Sequence[Mapping[str, Any]]) -> Iterator[str | dict[str, Any]]:
    """A text for the head of a part, then what each version did on it."""
    for parts in zip(*(version["eval_sets"] for version in versions), strict=True):
        yield f"{parts[0]['eval_set']} ({parts[0]['utterances']:,} utterances)"
        yield from _of_versions(versions, parts)
        for slices in _slices(parts)[:_SLICES]:
            yield f"  #{slices[0]['tag']} ({slices[0]['utterances']:,})"
            yield from _of_versions(versions, slices)


def _of_versions(
    versions: Sequence[Mapping[str, Any]], parts: Sequence[Part]
) -> Iterator[dict[str, Any]]:
    for version, part in zip(versions, parts, strict=True):
        yield {**part, "version": version["version"]}


def _slices(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Each tag's part of each version, those first that tell the most; none that tells nothing."""
    slices = zip(*(part["slices"] for part in parts), strict=True)
    some = [s for s in slices if s[0]["utterances"] < parts[0]["utterances"] and _tells(s) > 0]
    return sorted(some, key=_tells, reverse=True)


def _tells(parts: Sequence[Part]) -> float:
    """By how much two versions differ, of one alone: how often it is wrong. By the root of the
    size, so that three recordings do not come first by chance."""
    rates = [[float(errors["rate"]) for errors in part["errors"]["mer"].values()] for part in parts]
    one, other = rates if len(rates) == 2 else (rates[0], [0.0] * len(rates[0]))
    most = max(abs(before - after) for before, after in zip(one, other, strict=True))
    return most * math.sqrt(parts[0]["utterances"])


def _columns(forms: Sequence[str]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for measure in ("cer", "mer"):
        for form in forms:
            columns[f"{measure.upper()} %{_FORMS[form]}"] = _rate(measure, form)
    columns["S/D/I"] = _edits
    for form in forms:
        columns[f"numbers %{_FORMS[form]}"] = _share("number_accuracy", form)
    columns["hotwords %"] = _share("hotword_recall")
    columns["false hotwords"] = _count("false_hotwords")
    columns["empty"] = _count("empty_outputs")
    columns["loops"] = _count("repetition_loops")
    columns["text on silence"] = _count("text_on_silence")
    columns["failed"] = lambda part: str(part["failed"]) if part["failed"] else None
    columns["p95 s"] = _number("latency_p95_seconds")
    columns["RTF"] = _number("real_time_factor")
    return columns


def _rate(measure: str, form: str) -> Column:
    return lambda part: f"{100 * part['errors'][measure][form]['rate']:.2f}"


def _edits(part: Part) -> str:
    errors = part["errors"]["cer"]["written"]
    return "/".join(str(errors[kind]) for kind in ("substitutions", "deletions", "insertions"))


def _share(name: str, form: str | None = None) -> Column:
    def column(part: Part) -> str | None:
        rate = (part[name][form] if form else part[name])["rate"]
        return None if rate is None else f"{100 * rate:.1f}"

    return column


def _count(name: str) -> Column:
    return lambda part: str(part[name]["count"]) if part[name]["count"] else None


def _number(name: str) -> Column:
    return lambda part: None if part[name] is None else f"{part[name]:.2f}"


def _aligned(rows: Sequence[str | list[str]]) -> list[str]:
    """The first column to the left, the others to the right; a text stands over the columns."""
    listed = [row for row in rows if not isinstance(row, str)]
    widths = [max(map(cell_len, column)) for column in zip(*listed, strict=True)]
    return [row if isinstance(row, str) else _line(row, widths) for row in rows]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padding = [" " * (width - cell_len(c)) for c, width in zip(cells, widths, strict=True)]
    rest = (pad + cell for pad, cell in zip(padding[1:], cells[1:], strict=True))
    return "  ".join([cells[0] + padding[0], *rest]).rstrip()


def _footnotes(value: Mapping[str, Any]) -> list[str]:
    chains = ", ".join(value["normalisation"].values())
    reason = value["numbers_unavailable"]
    notes = [f"S/D/I: characters substituted, deleted, inserted; normalised by {chains}"]
    return notes + ([reason] if reason else [])
