"""What a whole recording became."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asr_node.recognizer import Word


class Priority(IntEnum):
    """Who goes first. Shadow and batch work takes what live requests leave."""

    LIVE = 0
    BATCH = 1
    SHADOW = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech between two silences; times in seconds of the recording."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    text: str
    raw_text: str
    language: str | None
    segments: tuple[Segment, ...]
    device: str
    seconds: float  # spent in the model, without the wait for it
