"""The whole history as one file, in constant memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from asr_node.history.history import History, Row
from asr_node.history.tables import HISTORY

PAGE: Final = 500
COLUMNS: Final = tuple(column.name for column in HISTORY.columns)
BOM: Final = "\ufeff"

# Spreadsheets run a cell that begins so as a formula; a file name or a transcript could call
# out to the network from whoever opens the export (OWASP, "CSV Injection").
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


async def as_json(history: History, after: int) -> AsyncIterator[str]:
    """One array, one entry a line."""
    yield "["
    separator = "\n"
    async for rows in _pages(history, after):
        for row in rows:
            yield separator + json.dumps(row, ensure_ascii=False)
            separator = ",\n"
    yield "\n]\n"


async def as_csv(history: History, after: int, bom: bool) -> AsyncIterator[str]:
    """A header, then an entry a record (RFC 4180). `bom`: Excel then reads UTF-8."""
    yield (BOM if bom else "") + _records([COLUMNS])
    async for rows in _pages(history, after):
        yield _records([_cell(row[name]) for name in COLUMNS] for row in rows)


async def _pages(history: History, after: int) -> AsyncIterator[list[Row]]:
    """Up to the newest row of this moment, so that it ends on a busy node."""
    last = await history.last_cursor()
    while after < last and (rows := await history.page(after, PAGE)):
        yield [row for row in rows if row["cursor"] <= last]
        after = rows[-1]["cursor"]


def _records(records: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue()


def _cell(value: object) -> object:
    """Text that could be a formula begins with an apostrophe, which spreadsheets hide."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value
