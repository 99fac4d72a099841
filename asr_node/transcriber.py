"""The one way that a recording takes, whichever protocol brought it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO

from asr_node.audio import decode
from asr_node.log import event
from asr_node.node import Node
from asr_node.recognition import Priority, Recognition, Segment
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions


@dataclass(frozen=True, slots=True)
class Recording:
    """An upload and what its sender asked for. `parameters` are kept as they came."""

    file: IO[bytes]
    filename: str
    options: DecodeOptions
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcribed:
    recognition: Recognition
    duration_seconds: float


class Transcriber:
    def __init__(self, node: Node, decoders: ThreadPoolExecutor) -> None:
        """`decoders` run FFmpeg, off the event loop."""
        self.node = node
        self._decoders = decoders

    async def transcribe(
        self,
        recording: Recording,
        request_id: str,
        priority: Priority = Priority.LIVE,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Transcribed:
        """Raises RequestRefused. `on_segment` hears of each segment as soon as it is final."""
        began = time.monotonic()
        samples = await asyncio.get_running_loop().run_in_executor(
            self._decoders, decode, recording.file, self.node.settings.max_duration_seconds
        )
        recognition = await self.node.recognize(
            samples, recording.options, request_id, priority, on_segment
        )
        duration = samples.size / SAMPLE_RATE
        event(
            "recognition.done",
            request_id=request_id,
            audio_seconds=round(duration, 3),
            seconds=round(time.monotonic() - began, 3),
            inference_seconds=round(recognition.seconds, 3),
        )
        return Transcribed(recognition, duration)
