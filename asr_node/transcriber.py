"""The one way that a recording takes, whichever protocol brought it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Final

import numpy as np

from asr_node.decoding.decoders import Decoders
from asr_node.errors import RequestRefused
from asr_node.history.audio_folder import AudioFolder
from asr_node.history.entry import Entry, Status, new_id, now
from asr_node.history.history import Also, History
from asr_node.log import event
from asr_node.node import Node
from asr_node.recognition import Priority, Recognition, Segment
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Samples

NOTHING_DONE: Final = frozenset({429, 503})  # refused before any work: no row


@dataclass(frozen=True, slots=True)
class Recording:
    """An upload, or samples that came as a stream, and what their sender asked for.

    `parameters` are kept as they came. `first_partial_seconds`: of a stream, where this is its
    first utterance that had an interim result."""

    file: IO[bytes] | Samples
    filename: str
    options: DecodeOptions
    parameters: Mapping[str, str] = field(default_factory=dict)
    first_partial_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Transcribed:
    id: str  # of its row in the history
    recognition: Recognition
    duration_seconds: float


@dataclass(slots=True)
class _Attempt:
    recording: Recording
    request_id: str
    priority: Priority
    also: Also | None
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)
    began: float = field(default_factory=time.monotonic)
    duration_seconds: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Transcriber:
    def __init__(
        self,
        node: Node,
        decoders: Decoders,
        history: History,
        audio: AudioFolder | None = None,
    ) -> None:
        """`audio`: where recordings are kept."""
        self.node = node
        self.decoders = decoders
        self._history = history
        self._audio = audio

    @property
    def degraded(self) -> str | None:
        """Why recordings are not kept though they should be; None where they are."""
        return self._audio.degraded if self._audio is not None else None

    async def transcribe(
        self,
        recording: Recording,
        request_id: str,
        priority: Priority = Priority.LIVE,
        on_segment: Callable[[Segment], None] | None = None,
        also: Also | None = None,
    ) -> Transcribed:
        """Raises RequestRefused. There is a row of the history before this returns or raises,
        except where nothing was done (429, 503) or the caller has gone.

        `on_segment` hears of each segment as soon as it is final. `also` takes part in the
        transaction that writes the row; this then waits until that has succeeded."""
        attempt = _Attempt(recording, request_id, priority, also)
        try:
            recognition = await self._recognize(attempt, on_segment)
        except RequestRefused as refusal:
            if refusal.status not in NOTHING_DONE:
                await self._record(attempt, error=refusal.message)
            raise
        except Exception as error:
            await self._record(attempt, error=f"The node failed: {type(error).__name__}.")
            raise
        await self._record(attempt, recognition)
        duration = attempt.duration_seconds or 0.0
        event(
            "recognition.done",
            id=attempt.id,
            request_id=request_id,
            audio_seconds=round(duration, 3),
            seconds=round(attempt.seconds, 3),
            inference_seconds=round(recognition.seconds, 3),
        )
        return Transcribed(attempt.id, recognition, duration)

    async def give_up(
        self, recording: Recording, request_id: str, priority: Priority, error: str, also: Also
    ) -> None:
        """A row that says why `recording` is not tried (again)."""
        await self._record(_Attempt(recording, request_id, priority, also), error=error)

    async def _recognize(
        self, attempt: _Attempt, on_segment: Callable[[Segment], None] | None
    ) -> Recognition:
        samples = await self._samples(attempt)
        attempt.duration_seconds = samples.size / SAMPLE_RATE
        return await self.node.recognize(
            samples, attempt.recording.options, attempt.request_id, attempt.priority, on_segment
        )

    async def _samples(self, attempt: _Attempt) -> Samples:
        file = attempt.recording.file
        if isinstance(file, np.ndarray):
            return file
        limit, urgent = self.node.settings.max_duration_seconds, attempt.priority is Priority.LIVE
        return await self.decoders.decode(file, limit, urgent=urgent)

    async def _record(
        self, attempt: _Attempt, recognition: Recognition | None = None, error: str | None = None
    ) -> None:
        if self._audio is not None and self._is_to_be_kept(attempt):
            await asyncio.to_thread(self._keep, attempt)
        entry = self._entry(attempt, recognition, error)
        if attempt.also is None:
            await self._history.record(entry)
        else:
            await self._history.record_with(entry, attempt.also)

    def _is_to_be_kept(self, attempt: _Attempt) -> bool:
        return self.node.settings.keep_audio or attempt.priority is Priority.SHADOW

    def _keep(self, attempt: _Attempt) -> None:
        recording = attempt.recording
        assert self._audio is not None
        if isinstance(recording.file, np.ndarray):
            self._audio.keep_samples(recording.file, attempt.id, attempt.created)
        else:
            self._audio.keep(recording.file, recording.filename, attempt.id, attempt.created)

    def _entry(
        self, attempt: _Attempt, recognition: Recognition | None, error: str | None
    ) -> Entry:
        recording = attempt.recording
        return Entry(
            id=attempt.id,
            request_id=attempt.request_id,
            node=self.node.settings.name,
            created_time=attempt.created,
            filename=recording.filename,
            version=self.node.settings.version,
            digest=self.node.digest,
            device=recognition.device if recognition else self.node.settings.device,
            priority=attempt.priority.name.lower(),
            parameters=dict(recording.parameters),
            hotwords=recording.options.hotwords,
            language=(recognition and recognition.language) or recording.options.language,
            duration_seconds=attempt.duration_seconds,
            processing_seconds=attempt.seconds,
            first_partial_seconds=recording.first_partial_seconds,
            raw_text=recognition.raw_text if recognition else "",
            itn_text=recognition.text if recognition else "",
            status=Status.DONE if recognition else Status.FAILED,
            error=error,
        )
