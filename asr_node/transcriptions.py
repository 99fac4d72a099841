"""POST /v1/audio/transcriptions, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from asr_node.audio import decode
from asr_node.errors import NotReady
from asr_node.log import event
from asr_node.node import Node
from asr_node.recognizer import SAMPLE_RATE, Transcript
from asr_node.transcription_request import (
    ResponseFormat,
    TranscriptionRequest,
    read_form,
    understand,
)

T = TypeVar("T")

router = APIRouter()


@router.post("/v1/audio/transcriptions")
async def transcribe(request: Request) -> Response:
    node: Node = request.app.state.node
    with node.admitted() as recognizer:
        form = await read_form(request)
        try:
            asked = understand(form, node.settings, recognizer)
            decoders: ThreadPoolExecutor = request.app.state.decoders
            work = _transcribe(node, decoders, asked, request.state.request_id)
            return await _unless_disconnected(request, work)
        except asyncio.CancelledError:
            if node.draining:  # the grace is over: say so rather than cut the connection
                raise NotReady(node.state) from None
            raise
        finally:
            await form.close()


async def _transcribe(
    node: Node, decoders: ThreadPoolExecutor, asked: TranscriptionRequest, request_id: str
) -> Response:
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    samples = await loop.run_in_executor(
        decoders, decode, asked.file.file, node.settings.max_duration_seconds
    )
    recognition = await node.recognize(samples, asked.options, request_id)
    duration = samples.size / SAMPLE_RATE
    event(
        "request.done",
        request_id=request_id,
        audio_seconds=round(duration, 3),
        seconds=round(time.monotonic() - began, 3),
        inference_seconds=round(recognition.seconds, 3),
    )
    return _answer(asked, recognition.transcript, duration)


def _answer(asked: TranscriptionRequest, transcript: Transcript, duration: float) -> Response:
    match asked.response_format:
        case ResponseFormat.TEXT:
            return PlainTextResponse(transcript.text)
        case ResponseFormat.JSON:
            return JSONResponse({"text": transcript.text})
        case ResponseFormat.VERBOSE_JSON:
            return JSONResponse(
                {
                    "task": "transcribe",
                    "language": transcript.language or asked.options.language,
                    "duration": round(duration, 3),
                    "text": transcript.text,
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
