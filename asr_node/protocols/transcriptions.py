"""POST /v1/audio/transcriptions, in OpenAI's shape."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from asr_node.errors import NotReady
from asr_node.node import Node
from asr_node.protocols.transcription_request import (
    ResponseFormat,
    TranscriptionRequest,
    read_form,
    understand,
)
from asr_node.transcriber import Transcribed, Transcriber

T = TypeVar("T")

router = APIRouter()


@router.post("/v1/audio/transcriptions")
async def transcribe(request: Request) -> Response:
    node: Node = request.app.state.node
    with node.admitted():
        form = await read_form(request)
        try:
            asked = understand(form, node.settings, node.capabilities)
            transcriber: Transcriber = request.app.state.transcriber
            work = _transcribe(transcriber, asked, request.state.request_id)
            return await _unless_disconnected(request, work)
        except asyncio.CancelledError:
            if node.draining:  # the grace is over: say so rather than cut the connection
                raise NotReady(node.state) from None
            raise
        finally:
            await form.close()


async def _transcribe(
    transcriber: Transcriber, asked: TranscriptionRequest, request_id: str
) -> Response:
    return _answer(asked, await transcriber.transcribe(asked.recording, request_id))


def _answer(asked: TranscriptionRequest, done: Transcribed) -> Response:
    recognition = done.recognition
    match asked.response_format:
        case ResponseFormat.TEXT:
            return PlainTextResponse(recognition.text)
        case ResponseFormat.JSON:
            return JSONResponse({"text": recognition.text})
        case ResponseFormat.VERBOSE_JSON:
            return JSONResponse(
                {
                    "task": "transcribe",
                    "language": recognition.language or asked.recording.options.language,
                    "duration": round(done.duration_seconds, 3),
                    "text": recognition.text,
                }
            )


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Drop the work when the client has gone: nobody would read its result."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
