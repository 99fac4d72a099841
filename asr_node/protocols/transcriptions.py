"""POST /v1/audio/transcriptions, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Coroutine, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Final, TypeVar

from fastapi import APIRouter, Request, Response

from asr_node.errors import NotReady
from asr_node.node import Node
from asr_node.protocols.answers import answer, provenance
from asr_node.protocols.event_stream import EventStream, Progress
from asr_node.protocols.leaving import unless_left
from asr_node.protocols.replays import Replays, Result
from asr_node.protocols.shadows import Shadows, is_shadow
from asr_node.protocols.transcription_request import (
    TranscriptionRequest,
    read_form,
    understand,
)
from asr_node.transcriber import Transcribed, Transcriber

T = TypeVar("T")

HASHED_AT_ONCE: Final = 1024 * 1024
REPLAYED: Final = {"X-ASR-Replayed": "1"}

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
            _joined(request, asked, await _key(request, asked), progress)
        )
        headers = REPLAYED if replayed else {}
        if asked.stream:
            return await _stream(request, result, progress, held, headers)
        done = await _patiently(request, asyncio.shield(result))
    answered = answer(asked, done, provenance(node, request.state.request_id))
    answered.headers.update(headers)
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


@contextmanager
def _joined(
    request: Request, asked: TranscriptionRequest, key: Hashable | None, progress: Progress
) -> Iterator[tuple[Result, bool]]:
    replays: Replays = request.app.state.replays
    transcriber: Transcriber = request.app.state.transcriber

    def work() -> Coroutine[Any, Any, Transcribed]:
        return transcriber.transcribe(
            asked.recording, request.state.request_id, on_segment=progress.add
        )

    with replays.joined(key, work, asked.file.close) as (result, replayed):
        result.add_done_callback(progress.end)
        if replayed:
            transcriber.node.metrics.replayed()
        yield result, replayed


async def _patiently(request: Request, work: Awaitable[T]) -> T:
    node: Node = request.app.state.node
    try:
        return await unless_left(request.receive, work)
    except asyncio.CancelledError:
        if node.draining:  # the grace is over: say so rather than cut the connection
            raise NotReady(node.state) from None
        raise


async def _stream(
    request: Request,
    result: Result,
    progress: Progress,
    held: ExitStack,
    headers: dict[str, str],
) -> Response:
    """What fails before the first segment is still answered with a status of its own."""
    await _patiently(request, progress.begun())
    if result.done():
        await _patiently(request, asyncio.shield(result))
    return EventStream(progress, result, held.pop_all(), headers)


async def _key(request: Request, asked: TranscriptionRequest) -> Hashable | None:
    """Only for an id that came with the request: one that the node made has no second use."""
    if not request.state.request_id_given:
        return None
    node: Node = request.app.state.node
    try:
        content = await asyncio.to_thread(_sha256, asked.file)
    except BaseException:
        asked.file.close()
        raise
    fields = tuple(sorted(asked.recording.parameters.items()))
    return request.state.request_id, content, fields, node.digest


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(HASHED_AT_ONCE):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
