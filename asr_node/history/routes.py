"""GET /v1/history: rows in order, one row, everything."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from asr_node.errors import RequestRefused
from asr_node.history.export import as_csv, as_json
from asr_node.history.history import History
from asr_node.protocols.query import check_names, no_names

LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
MAX_CURSOR: Final = 2**63 - 1

router = APIRouter()


@router.get("/v1/history")
async def page(request: Request) -> Response:
    """`next` is what to ask for `after` the next time, also where nothing is new."""
    check_names(request, {"after", "limit"})
    after = _number(request, "after", 0, 0, MAX_CURSOR)
    limit = _number(request, "limit", LIMIT, 1, MAX_LIMIT)
    rows = await _history(request).page(after, limit)
    return JSONResponse({"entries": rows, "next": rows[-1]["cursor"] if rows else after})


@router.get("/v1/history/export")
async def export(request: Request) -> Response:
    check_names(request, {"format", "after", "bom"})
    history, after = _history(request), _number(request, "after", 0, 0, MAX_CURSOR)
    await history.last_cursor()  # an error can still be an answer now, and not later
    kind = _choice(request, "format", ("json", "csv"))
    bom = _choice(request, "bom", ("false", "true")) == "true"
    if kind == "csv":
        body, media = as_csv(history, after, bom), "text/csv; charset=utf-8"
    elif bom:
        raise RequestRefused("bom is for format=csv.", param="bom")
    else:
        body, media = as_json(history, after), "application/json"
    name = f'attachment; filename="history-{history.node}.{kind}"'
    return StreamingResponse(body, media_type=media, headers={"Content-Disposition": name})


@router.get("/v1/history/{entry_id}", dependencies=[Depends(no_names)])
async def entry(request: Request, entry_id: str) -> Response:
    row = await _history(request).find(entry_id)
    if row is None:
        raise RequestRefused(
            f"The history of this node has no entry {entry_id}.", status=404, code="not_found"
        )
    return JSONResponse(row)


def _history(request: Request) -> History:
    history: History = request.app.state.history
    return history


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise RequestRefused(f"{name} is a whole number from {least} to {most}.", param=name)
    return int(text)


def _choice(request: Request, name: str, known: tuple[str, ...]) -> str:
    """The first is the default."""
    asked = request.query_params.get(name, known[0])
    if asked not in known:
        raise RequestRefused(f"{name} is {' or '.join(known)}, not {asked}.", param=name)
    return asked
