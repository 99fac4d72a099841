"""One recording, short or long, through the waiting line and back into one piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from asr_node.recognition import Recognition, Segment, joined
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Word
from asr_node.scheduler import Operation, Request, Scheduler
from asr_node.utterances import WINDOW, Span, cut
from asr_node.worker.results import Piece

LOOK_AHEAD: Final = 4  # utterances of one recording in the line: more would block the others


class Recognizing:
    """`on_segment` hears of each segment, in order, as soon as it is final."""

    def __init__(
        self,
        scheduler: Scheduler,
        request: Request,
        options: DecodeOptions,
        on_segment: Callable[[Segment], None] | None,
        device: str,
    ) -> None:
        self._scheduler = scheduler
        self._request = request
        self._options = options
        self._on_segment = on_segment
        self._device = device
        self._pieces: list[Piece] = []
        self._segments: list[Segment] = []

    async def run(self) -> Recognition:
        """Raises RequestRefused."""
        size = self._request.samples.size
        if size <= WINDOW:
            self._take((0, size), await self._transcribe((0, size)))
        else:
            await self._walk()
        return self._recognition()

    async def _walk(self) -> None:
        pending: deque[tuple[Span, asyncio.Task[Piece]]] = deque()
        try:
            async for span in self._utterances():
                if len(pending) == LOOK_AHEAD:
                    await self._take_first(pending)
                pending.append((span, asyncio.create_task(self._transcribe(span))))
            while pending:
                await self._take_first(pending)
        finally:
            tasks = [task for _, task in pending]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_first(self, pending: deque[tuple[Span, asyncio.Task[Piece]]]) -> None:
        span, task = pending[0]
        piece = await task
        pending.popleft()
        self._take(span, piece)

    async def _utterances(self) -> AsyncIterator[Span]:
        """Window by window; pure silence is left out."""
        samples = self._request.samples
        start = 0
        while start < samples.size:
            window = samples[start : start + WINDOW]
            speech = await self._run(Operation.SPEECH, (start, start + window.size))
            last = start + window.size == samples.size
            spans, end = cut(speech, window.size, last)
            for begin, stop in spans:
                yield start + begin, start + stop
            start += end

    async def _transcribe(self, span: Span) -> Piece:
        piece: Piece = await self._run(Operation.TRANSCRIBE, span)
        return piece

    async def _run(self, operation: Operation, span: Span) -> Any:
        samples = self._request.samples[slice(*span)]
        return await self._scheduler.run(self._request, operation, samples, self._options)

    def _take(self, span: Span, piece: Piece) -> None:
        self._pieces.append(piece)
        start, end = span[0] / SAMPLE_RATE, span[1] / SAMPLE_RATE
        if not piece.transcript.text:
            return
        words = tuple(_later(piece.transcript.words, start))
        segment = Segment(start, end, piece.transcript.text, words)
        self._segments.append(segment)
        if self._on_segment is not None:
            self._on_segment(segment)

    def _recognition(self) -> Recognition:
        """Pure silence has no pieces."""
        transcripts = [piece.transcript for piece in self._pieces]
        return Recognition(
            text=joined(transcript.text for transcript in transcripts),
            raw_text=" ".join(transcript.raw_text for transcript in transcripts),
            language=next((found.language for found in transcripts if found.language), None),
            segments=tuple(self._segments),
            device=self._pieces[-1].device if self._pieces else self._device,
            seconds=sum(piece.seconds for piece in self._pieces),
        )


def _later(words: Iterable[Word], seconds: float) -> Iterable[Word]:
    """Their times are those of the utterance."""
    if seconds == 0.0:
        return words
    return (replace(word, start=word.start + seconds, end=word.end + seconds) for word in words)
