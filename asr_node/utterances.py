"""Where long recordings are cut. Pure: spans of speech in, utterances out; all are sample indexes.

A recording is walked window by window, so that memory does not grow with its length. Models
garble what is much longer than 30 s, and a cut inside a word costs that word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asr_node.recognizer import SAMPLE_RATE

WINDOW: Final = 30 * SAMPLE_RATE  # the longest utterance; what is no longer is not cut
EARLIEST_CUT: Final = 10 * SAMPLE_RATE  # before that, utterances would be needlessly short
PAUSE: Final = SAMPLE_RATE  # a silence that long parts utterances
ONSET: Final = SAMPLE_RATE // 2

Span = tuple[int, int]  # start, end


def cut(speech: Sequence[Span], length: int, last: bool) -> tuple[list[Span], int]:
    """The utterances of a window of `length` samples, and where the next window begins.

    `last`: nothing follows. Else it is cut in its longest late pause, and what comes after
    the cut belongs to the next window; with no pause it is cut at its end, inside a word."""
    end = length if last else _cut_point(speech, length)
    return _utterances([(a, min(b, end)) for a, b in speech if a < end]), end


def _cut_point(speech: Sequence[Span], length: int) -> int:
    edges = [0, *(edge for span in speech for edge in span), length]
    pauses = [(max(a, EARLIEST_CUT), b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    longest = max(pauses, key=lambda pause: pause[1] - pause[0])
    if longest[1] <= longest[0]:
        return length
    if longest[1] == length:  # a word that has just begun would not be heard yet
        return length - min(ONSET, (length - longest[0]) // 2)
    return (longest[0] + longest[1]) // 2


def _utterances(speech: Sequence[Span]) -> list[Span]:
    """Spans apart by less than a pause are one utterance."""
    utterances: list[Span] = []
    for start, end in speech:
        if utterances and start - utterances[-1][1] < PAUSE:
            utterances[-1] = (utterances[-1][0], end)
        else:
            utterances.append((start, end))
    return utterances
