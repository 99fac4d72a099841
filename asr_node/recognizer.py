"""What the node needs of a speech engine; everything else about it stays behind this seam."""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Transcript:
    """`language` is what the model heard, None where it does not say."""

    text: str
    language: str | None = None


class Recognizer(Protocol):
    """A loaded model. Not thread-safe: only the worker's thread may call it."""

    @property
    def device(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]:
        """Values of `language` that change anything; a request for another is refused."""

    @property
    def switches_itn(self) -> bool:
        """Whether `itn` can be chosen per request."""

    def warm_up(self) -> None: ...

    def transcribe(self, samples: Samples, options: DecodeOptions) -> Transcript: ...


class Engine(Protocol):
    """Makes recognizers. Both methods are slow and run in the worker's thread."""

    @property
    def name(self) -> str:
        """Name and version, such as "funasr 1.4.16"."""

    def resolve(self) -> Mapping[str, Path]:
        """The folder of each role ("model", "vad", "punc"); hub ids are downloaded.

        Raises LoadFailed or StartRefused."""

    def load(self, folders: Mapping[str, Path]) -> Recognizer:
        """Raises LoadFailed."""
