"""What an error rate hides: lost numbers and hotwords, empty answers, loops, text on silence.

Each is counted over a Score, so also over a slice of one (`score.tagged("noise")`)."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.gate import Form
from controller.core.scoring.normalisation import normalised
from controller.core.scoring.score import Score, UtteranceScore
from controller.core.scoring.units import characters, tokens

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)*%?")
_LOOP_TIMES: Final = 4
_LOOP: Final = re.compile(rf"(.{{2,40}}?)\1{{{_LOOP_TIMES - 1},}}")  # 哈哈哈哈 is laughter


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`. `rate` is a ratio; None of nothing."""

    count: int = 0
    of: int = 0

    @property
    def rate(self) -> float | None:
        return self.count / self.of if self.of else None

    def __add__(self, other: Share) -> Share:
        return Share(self.count + other.count, self.of + other.of)


def number_accuracy(score: Score, form: Form = "written") -> Share:
    """The numbers of the references that the transcripts have, in their order.

    A number is a run of digits of two characters or more (42, 3.5, 5%), since single ones are
    mostly parts of words. Raises Refused as Score.errors does."""
    return sum((_numbers_found(u, form) for u in score.utterances), Share())


def _numbers_found(utterance: UtteranceScore, form: Form) -> Share:
    said = _numbers(utterance.reference, form)
    heard = _numbers(utterance.hypothesis or "", form) if said else []
    return Share(_in_order(said, heard), len(said))


def _numbers(text: str, form: Form) -> list[str]:
    return [number for number in _NUMBER.findall(normalised(text, form)) if len(number) > 1]


def _in_order(said: Sequence[str], heard: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    best = [0] * (len(heard) + 1)
    for wanted in said:
        before = best[:]
        for at, found in enumerate(heard, start=1):
            longer = before[at - 1] + 1 if wanted == found else 0
            best[at] = max(longer, before[at], best[at - 1])
    return best[-1]


def hotword_recall(score: Score) -> Share:
    """How many of the hotwords that were said are in the transcripts.

    The hotwords are all those that the eval set's manifest names, at whichever recording."""
    found = (
        Share(min(heard[word], said[word]), said[word])
        for said, heard in _hotwords_said_and_heard(score)
        for word in said
    )
    return sum(found, Share())


def false_hotwords(score: Score) -> Share:
    """How many hotwords in the transcripts nobody said: what a bias list makes up."""
    found = (
        Share(max(0, heard[word] - said[word]), heard[word])
        for said, heard in _hotwords_said_and_heard(score)
        for word in heard
    )
    return sum(found, Share())


def _hotwords_said_and_heard(score: Score) -> Iterator[tuple[Counter[str], Counter[str]]]:
    for name in score.eval_sets:
        utterances = score.of(name).utterances
        named = dict.fromkeys(word for u in utterances for word in u.hotwords)
        spaced = [spelt for word in named if (spelt := _spaced(word)).strip()]
        for utterance in utterances if spaced else ():
            said, heard = _spaced(utterance.reference), _spaced(utterance.hypothesis or "")
            yield _occurrences(spaced, said), _occurrences(spaced, heard)


def _spaced(text: str) -> str:
    """Each token between two spaces of its own, so that `art` is not found in `party`."""
    return "".join(f" {token} " for token in tokens(text))


def _occurrences(words: Sequence[str], text: str) -> Counter[str]:
    return Counter({word: count for word in words if (count := text.count(word))})


def empty_outputs(score: Score) -> Share:
    """Of the answers where text was expected: those without any (failed requests left out)."""
    answers = [u for u in score.utterances if u.hypothesis is not None and characters(u.reference)]
    return Share(sum(not characters(u.hypothesis or "") for u in answers), len(answers))


def text_on_silence(score: Score) -> Share:
    """Of the answers where silence was expected: those with text."""
    answers = [
        u for u in score.utterances if u.hypothesis is not None and not characters(u.reference)
    ]
    return Share(sum(bool(characters(u.hypothesis or "")) for u in answers), len(answers))


def repetition_loops(score: Score) -> Share:
    """Of the transcripts: those in which the recogniser fell into a loop (`loop`)."""
    answers = [u for u in score.utterances if u.hypothesis is not None]
    return Share(sum(loop(u.reference, u.hypothesis or "") != "" for u in answers), len(answers))


@functools.lru_cache(maxsize=2**15)
def loop(reference: str, hypothesis: str) -> str:
    """The 2 to 40 characters that the transcript has four times in a row or more, and the
    reference has not; "" where there are none. Punctuation and spaces do not count."""
    said = "".join(characters(reference))
    found = (match[1] for match in _LOOP.finditer("".join(characters(hypothesis))))
    return next((repeated for repeated in found if repeated * _LOOP_TIMES not in said), "")


def real_time_factor(score: Score) -> float | None:
    """Seconds of work per second of audio, of the utterances whose seconds are known; None
    where none are. Under 1 is faster than speech."""
    timed = [(u.seconds, u.duration_ms / 1000) for u in score.utterances
             if u.seconds is not None and u.duration_ms]  # fmt: skip
    return sum(took for took, _ in timed) / sum(audio for _, audio in timed) if timed else None


def latency_seconds(score: Score, quantile: float) -> float | None:
    """The time within which that share (0.95: 95 %) of the transcripts came, by nearest rank;
    None where no times are known."""
    times = sorted(u.seconds for u in score.utterances if u.seconds is not None)
    return times[max(0, math.ceil(quantile * len(times)) - 1)] if times else None


def by_tag(score: Score) -> Mapping[str, Score]:
    """The slices of the score, by tag, the largest first."""
    return {tag: score.tagged(tag) for tag in score.tags}
