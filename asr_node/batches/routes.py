"""/v1/batches."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from asr_node.batches.batches import Batches
from asr_node.batches.events import END, progress
from asr_node.batches.form import read_batch_form, understand_batch
from asr_node.errors import NotReady
from asr_node.protocols.query import no_names

LISTED: Final = 100

router = APIRouter(dependencies=[Depends(no_names)])


@router.post("/v1/batches")
async def accept(request: Request) -> Response:
    batches = _batches(request)
    if batches.node.draining:
        raise NotReady(batches.node.state)
    batches.node.capabilities  # noqa: B018 (raises NotReady before a byte is read)
    form = await read_batch_form(request, batches.node)
    try:
        asked = understand_batch(form, request.state.request_id, batches.node)
        batch_id = await batches.accept(asked)
    finally:
        await form.close()
    view = await batches.view(batch_id)
    return JSONResponse(view, status_code=202, headers={"Location": f"/v1/batches/{batch_id}"})


@router.get("/v1/batches")
async def newest(request: Request) -> Response:
    """This node's own, the newest first."""
    return JSONResponse({"batches": await _batches(request).newest(LISTED)})


@router.get("/v1/batches/{batch_id}")
async def one(request: Request, batch_id: str) -> Response:
    return JSONResponse(await _batches(request).view(batch_id))


@router.get("/v1/batches/{batch_id}/events")
async def events(request: Request, batch_id: str) -> Response:
    """204 tells a browser's EventSource, which asks again for ever, that this was all."""
    batches = _batches(request)
    last = request.headers.get("last-event-id", "")
    await batches.view(batch_id)  # an unknown one is still a 404 now
    if last == END:
        return Response(status_code=204)
    after = int(last) if re.fullmatch(r"[0-9]{1,18}", last) else 0
    return StreamingResponse(
        progress(batches, batch_id, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.delete("/v1/batches/{batch_id}")
async def cancel(request: Request, batch_id: str) -> Response:
    return JSONResponse(await _batches(request).cancel(batch_id))


def _batches(request: Request) -> Batches:
    batches: Batches = request.app.state.batches
    return batches
