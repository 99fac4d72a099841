"""Stand-ins written once: an engine without a model, and audio without a recording."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from asr_node.errors import LoadFailed
from asr_node.recognizer import (
    SAMPLE_RATE,
    Capabilities,
    DecodeOptions,
    Samples,
    Transcript,
    Word,
)

CAPABILITIES = Capabilities(frozenset({"auto", "zh"}), itn=True)


@dataclass
class FakeRecognizer:
    """Answers with what it was asked. While `gate` is closed, inference does not end."""

    device: str = "cpu"
    capabilities: Capabilities = CAPABILITIES
    gate: threading.Event = field(default_factory=threading.Event)
    running: threading.Event = field(default_factory=threading.Event)
    heard: list[tuple[int, DecodeOptions]] = field(default_factory=list)
    fault: Exception | None = None
    warmed_up: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def warm_up(self) -> None:
        self.warmed_up = True

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        self.running.set()
        self.gate.wait(30)
        self.heard += [(samples.size, options) for samples in batch]
        if self.fault is not None:
            raise self.fault
        text = f"itn={options.itn} language={options.language}"
        if options.hotwords:
            text += f" hotwords={'|'.join(options.hotwords)}"
        words = spoken(text) if options.timestamps else ()
        return [Transcript(text, f"<|zh|>{text}", "zh", words) for _ in batch]


@dataclass
class FakeEngine:
    folder: Path
    recognizer: FakeRecognizer = field(default_factory=FakeRecognizer)
    loading: threading.Event = field(default_factory=threading.Event)  # closed: still loading
    fault: str | None = None
    name: str = "fake 1.0"

    def __post_init__(self) -> None:
        self.loading.set()

    def resolve(self) -> Mapping[str, Path]:
        return {"model": self.folder}

    def load(self, folders: Mapping[str, Path], device: str) -> FakeRecognizer:
        self.loading.wait(30)
        if self.fault is not None:
            raise LoadFailed(self.fault)
        return self.recognizer


def spoken(text: str, seconds: float = 0.1) -> tuple[Word, ...]:
    """Each word of `text` in turn, of the same length."""
    words = enumerate(text.split())
    return tuple(Word(i * seconds, (i + 1) * seconds, word) for i, word in words)


def tone(seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    times = np.arange(int(seconds * rate)) / rate
    return (0.1 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def encoded(
    samples: np.ndarray,
    rate: int = SAMPLE_RATE,
    container: str = "WAV",
    subtype: str | None = None,
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()
