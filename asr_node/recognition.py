"""What a whole recording became."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from asr_node.recognizer import Word

CJK: Final = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")


class Priority(IntEnum):
    """Who goes first. Shadow and batch work takes what live requests leave.

    PARTIAL: the interim results of a stream, which the next one replaces anyway."""

    LIVE = 0
    PARTIAL = 1
    BATCH = 2
    SHADOW = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech between two silences; times in seconds of the recording."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


def separator(before: str, after: str) -> str:
    """What stands between the texts of two neighbouring segments: nothing beside Chinese."""
    if not before or not after or CJK.match(before[-1]) or CJK.match(after[0]):
        return ""
    return " "


def joined(texts: Iterable[str]) -> str:
    """The text of a recording from those of its segments."""
    whole = ""
    for text in texts:
        whole += separator(whole, text) + text
    return whole


@dataclass(frozen=True, slots=True)
class Recognition:
    text: str
    raw_text: str
    language: str | None
    segments: tuple[Segment, ...]
    device: str
    seconds: float  # spent in the model, without the wait for it
