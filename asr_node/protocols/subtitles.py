"""Subtitles in SubRip and WebVTT. Segments are cut into cues that a person can read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from asr_node.recognition import CJK, Segment

WIDEST: Final = 84  # columns: two lines of 42; a Chinese character takes two
LONGEST_SECONDS: Final = 7.0
# After the punctuation of clauses; "3.14" and "10,086" hold none.
CLAUSE_END: Final = re.compile(r"(?<=[。！？；，、：…])|(?<=[.!?;,:])(?=\s)")
BREAK: Final = re.compile(rf"(?<=\s)|(?<={CJK.pattern})")


@dataclass(frozen=True, slots=True)
class Cue:
    start: float
    end: float
    text: str


def srt(segments: Sequence[Segment]) -> str:
    blocks = (
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues(segments), start=1)
    )
    return "\n".join(blocks)


def vtt(segments: Sequence[Segment]) -> str:
    blocks = (
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{escape(cue.text, quote=False)}\n"
        for cue in cues(segments)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def cues(segments: Sequence[Segment]) -> Iterator[Cue]:
    """A segment without times of its words stays whole: where to cut would be a guess."""
    for segment in segments:
        text = " ".join(segment.text.split())
        if not text:
            continue
        if segment.words and not _readable(text, segment.end - segment.start):
            yield from _cut(text, segment)
        else:
            yield Cue(segment.start, segment.end, text)


def _cut(text: str, segment: Segment) -> Iterator[Cue]:
    times = _Times(text, segment)
    begin = end = 0
    for piece in _pieces(text):
        longer = end + len(piece)
        seconds = times.at(longer) - times.at(begin)
        if end > begin and not _readable(text[begin:longer], seconds):
            yield Cue(times.at(begin), times.at(end), text[begin:end].strip())
            begin = end
        end = longer
    yield Cue(times.at(begin), segment.end, text[begin:].strip())


def _pieces(text: str) -> Iterator[str]:
    """Clauses, and where a clause is too wide for a cue, its words."""
    for clause in CLAUSE_END.split(text):
        if _width(clause) <= WIDEST:
            yield clause
        else:
            yield from BREAK.split(clause)


def _readable(text: str, seconds: float) -> bool:
    return _width(text) <= WIDEST and seconds <= LONGEST_SECONDS


def _width(text: str) -> int:
    return len(text) + len(CJK.findall(text))


class _Times:
    """When the place between two characters is spoken.

    Words are found in the text one after the other; one that is written otherwise ("10086" for
    五 characters) is passed over, and times between those found are in proportion."""

    def __init__(self, text: str, segment: Segment) -> None:
        places = [(0, segment.start)]
        lowered = text.lower()
        for word in segment.words:
            spoken = word.text.strip().lower()
            found = lowered.find(spoken, places[-1][0], places[-1][0] + WIDEST)
            if spoken and found >= 0 and word.start >= places[-1][1]:
                places.append((found, word.start))
                places.append((found + len(spoken), max(word.start, word.end)))
        places.append((len(text), max(segment.end, places[-1][1])))
        self._places = [place for place, _ in places]
        self._seconds = [seconds for _, seconds in places]

    def at(self, place: int) -> float:
        right = bisect_left(self._places, place)
        if right == 0 or self._places[right] == place:
            return self._seconds[right]
        width = self._places[right] - self._places[right - 1]
        share = (place - self._places[right - 1]) / width
        began, ended = self._seconds[right - 1], self._seconds[right]
        return began + (ended - began) * share


def _time(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    whole, thousandths = divmod(milliseconds, 1000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{whole:02}{point}{thousandths:03}"
