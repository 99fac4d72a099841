"""Interim text that is never taken back, from hypotheses that change.

FunASR's streaming models send only what is new, and its clients put one text after the other.
A model that hears an utterance again and again changes its mind about the end of it. So only
what two hypotheses in a row agree on is sent: local agreement, as in Liu et al. (2020),
"Low-latency sequence-to-sequence speech recognition and translation by partial hypothesis
selection", and Macháček et al. (2023), "Turning Whisper into real-time transcription system".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

TOKEN: Final = re.compile(r"\s*(?:[^\W\u3040-\u30ff\u3400-\u9fff]+|\w|[^\w\s])")
ENDING: Final = re.compile(r"[^\w\s]*\s*$")


class Agreement:
    """Of one utterance."""

    def __init__(self) -> None:
        self._sent: list[str] = []  # words, or Chinese characters
        self._last: list[str] = []

    @property
    def silent(self) -> bool:
        """Nothing was agreed on yet."""
        return not self._sent

    def hear(self, hypothesis: str) -> str:
        """The text that is new and agreed on, often "".

        A full stop at the end only says that the audio ended there."""
        tokens = _tokens(ENDING.sub("", hypothesis))
        agreed = _common(self._last, tokens)
        self._last = tokens
        if agreed <= len(self._sent) or tokens[: len(self._sent)] != self._sent:
            return ""
        new = tokens[len(self._sent) : agreed]
        self._sent = tokens[:agreed]
        return "".join(new)

    def rest(self, final: str) -> str:
        """What of the final text is still to be sent; the best place to go on, where it differs
        from what was sent."""
        tokens = _tokens(final)
        return "".join(tokens[_continuation(self._sent, tokens) :])


def _tokens(text: str) -> list[str]:
    return TOKEN.findall(text)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(one, other, strict=False)
    return next(
        (i for i, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other))
    )


def _continuation(sent: Sequence[str], final: Sequence[str]) -> int:
    """Behind the last word that both have, and as many words further as were sent after it."""
    blocks = SequenceMatcher(None, sent, final, autojunk=False).get_matching_blocks()
    last = blocks[-2] if len(blocks) > 1 else blocks[-1]._replace(a=0, b=0)
    return last.b + last.size + (len(sent) - last.a - last.size)
