"""What a stream is about, whichever way it listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from asr_node.errors import RequestRefused
from asr_node.recognition import Recognition
from asr_node.recognizer import DecodeOptions
from asr_node.transcriber import Recording, Transcriber
from asr_node.websocket.control import Setup
from asr_node.websocket.results import Message, Results

COME_AGAIN: Final = frozenset({429, 503})  # a full queue, a worker that starts again
RETRY_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 30.0
LONGEST_ID: Final = 110  # with a number behind it, it is still a request id

Say = Callable[[Message], Awaitable[None]]


@dataclass(slots=True)
class Conversation:
    """What outlives a file: a client may send several, one after the other."""

    transcriber: Transcriber
    results: Results
    say: Say
    id: str
    utterances: int = 0

    def next_id(self) -> str:
        self.utterances += 1
        return f"{self.id[:LONGEST_ID]}-{self.utterances}"

    @property
    def interim_id(self) -> str:
        return f"{self.id[:LONGEST_ID]}-interim"

    async def recognize(self, recording: Recording, request_id: str) -> Recognition:
        """Its row is in the history. Raises RequestRefused.

        HTTP clients are told to come again; a stream cannot say its words again, so it waits.
        Audio that ends workers is refused for good at the second attempt."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            if not isinstance(recording.file, np.ndarray):
                recording.file.seek(0)  # an attempt before may have read it
            try:
                with self.transcriber.node.admitted():
                    done = await self.transcriber.transcribe(recording, request_id)
                return done.recognition
            except RequestRefused as error:
                too_late = asyncio.get_running_loop().time() > deadline
                if error.status not in COME_AGAIN or too_late:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


class Ear(Protocol):
    """Hears one file. Its answers go to the client as they are made."""

    failure: RequestRefused | None  # the first, which the client was told at once

    @property
    def busy(self) -> bool:
        """There is something begun that should be finished."""

    def adopt(self, setup: Setup, options: DecodeOptions) -> None:
        """Of the same source; for whatever is not yet recognized."""

    async def hear(self, data: bytes) -> None:
        """Raises StreamRefused."""

    async def finish(self) -> None:
        """Says the last result, or that there is none."""

    async def close(self) -> None:
        """Drops what is left."""
