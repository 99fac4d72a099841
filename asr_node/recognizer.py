"""What the node needs of a speech engine; everything else about it stays behind this seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE: Final = 16_000  # Hz, everywhere in the node

Samples = NDArray[np.float32]  # mono, SAMPLE_RATE, -1..1


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What one request may ask for. `itn`: write numbers as digits ("10086")."""

    language: str
    itn: bool
    hotwords: tuple[str, ...] = ()
    timestamps: bool = False  # of words, too


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or a Chinese character, with its place in the recording, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """Of one utterance. `text` is for people, `raw_text` is as the model wrote it, tags and all.

    `language` is what the model heard, None where it does not say. `words` is empty where no
    timestamps were asked for."""

    text: str
    raw_text: str
    language: str | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can be told. What it cannot honour is refused by name, never dropped.

    `languages`: values of `language` that change anything. `itn`: it can be switched per
    request."""

    languages: frozenset[str]
    itn: bool = False
    hotwords: bool = False
    timestamps: bool = False


class Recognizer(Protocol):
    """A loaded model. Not thread-safe."""

    @property
    def device(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def warm_up(self) -> None: ...

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        """One transcript an utterance, in order, the same as one by one. Raises OptionRefused,
        or anything that torch raises."""


class VoiceActivity(Protocol):
    """Finds where somebody speaks. Not thread-safe; each call starts afresh."""

    def speech(self, samples: Samples) -> list[tuple[int, int]]:
        """Spans of speech as sample indexes, in order, apart from each other, each with a
        little silence around it. Meant for half a minute at a time."""


class Engine(Protocol):
    """Makes recognizers. Its methods are slow."""

    @property
    def name(self) -> str:
        """Name and version, such as "funasr 1.4.16"."""

    def resolve(self) -> Mapping[str, Path]:
        """The folder or file of each role ("model", "vad", "punc"); hub ids are downloaded.

        Raises LoadFailed or StartRefused."""

    def load(self, folders: Mapping[str, Path], device: str) -> Recognizer:
        """The folders are those of `resolve`. Raises LoadFailed."""

    def load_voice_activity(self, folders: Mapping[str, Path]) -> VoiceActivity:
        """Always on the CPU. Raises LoadFailed."""
