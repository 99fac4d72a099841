"""POST /v1/audio/transcriptions, in OpenAI's shape."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response

from asr_node.node import Node
from asr_node.protocols.answers import answer, measures, provenance
from asr_node.protocols.event_stream import EventStream, Progress
from asr_node.protocols.once import REPLAYED, joined, key_of, patiently
from asr_node.protocols.replays import Result
from asr_node.protocols.shadows import Shadows, is_shadow
from asr_node.protocols.transcription_request import (
    TranscriptionRequest,
    read_form,
    understand,
)

router = APIRouter()


@router.post("/v1/audio/transcriptions", summary="Transcribe one recording", tags=["OpenAI"])
async def transcribe(request: Request) -> Response:
    """Multipart form: file, and optionally model, language, prompt or hotwords, itn,
    response_format (json, text, srt, vtt, verbose_json), timestamp_granularities[], stream."""
    node: Node = request.app.state.node
    shadows: Shadows = request.app.state.shadows
    if is_shadow(request):
        return await shadows.take(request, receive)
    with ExitStack() as held:
        held.enter_context(node.admitted())
        asked = await receive(request)
        progress = Progress()
        result, replayed = held.enter_context(
            joined(request, asked, await key_of(request, asked), progress.add)
        )
        result.add_done_callback(progress.end)
        headers = REPLAYED if replayed else {}
        if asked.stream:
            return await _stream(request, result, progress, held, headers)
        done = await patiently(request, asyncio.shield(result))
    answered = answer(asked, done, provenance(node, request.state.request_id))
    answered.headers.update(headers or measures(done))
    return answered


async def receive(request: Request) -> TranscriptionRequest:
    """The caller closes its file. Raises RequestRefused."""
    node: Node = request.app.state.node
    form = await read_form(request)
    try:
        return understand(form, node.settings, node.capabilities)
    except BaseException:
        await form.close()
        raise


async def _stream(
    request: Request,
    result: Result,
    progress: Progress,
    held: ExitStack,
    headers: dict[str, str],
) -> Response:
    """What fails before the first segment is still answered with a status of its own."""
    await patiently(request, progress.begun())
    if result.done():
        await patiently(request, asyncio.shield(result))
    return EventStream(progress, result, held.pop_all(), headers)
