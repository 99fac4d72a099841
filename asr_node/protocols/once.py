"""A request over HTTP, done once however often it comes, as long as somebody waits for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, TypeVar

from fastapi import Request

from asr_node.errors import NotReady
from asr_node.node import Node
from asr_node.protocols.leaving import unless_left
from asr_node.protocols.replays import Replays, Result
from asr_node.protocols.shadows import Asked
from asr_node.recognition import Segment
from asr_node.transcriber import Transcribed, Transcriber

T = TypeVar("T")

HASHED_AT_ONCE: Final = 1024 * 1024
REPLAYED: Final = {"X-ASR-Replayed": "1"}


@contextmanager
def joined(
    request: Request,
    asked: Asked,
    key: Hashable | None,
    on_segment: Callable[[Segment], None] | None = None,
) -> Iterator[tuple[Result, bool]]:
    """The result to come, and whether it is an earlier request's. Closes the file in the end."""
    replays: Replays = request.app.state.replays
    transcriber: Transcriber = request.app.state.transcriber

    def work() -> Coroutine[Any, Any, Transcribed]:
        return transcriber.transcribe(
            asked.recording, request.state.request_id, on_segment=on_segment
        )

    with replays.joined(key, work, asked.file.close) as (result, replayed):
        if replayed:
            transcriber.node.metrics.replayed()
        yield result, replayed


async def key_of(request: Request, asked: Asked) -> Hashable | None:
    """Only for an id that came with the request: one that the node made has no second use.

    Closes the file where it cannot be read."""
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


async def patiently(request: Request, work: Awaitable[T]) -> T:
    """Raises ClientDisconnect when the client leaves, NotReady when the node does."""
    node: Node = request.app.state.node
    try:
        return await unless_left(request.receive, work)
    except asyncio.CancelledError:
        if node.draining:  # the grace is over: say so rather than cut the connection
            raise NotReady(node.state) from None
        raise


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(HASHED_AT_ONCE):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
