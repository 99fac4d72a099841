"""Error rates of transcripts: how many edits turn what was heard into what was said.

CER counts characters, WER tokens. Both sides are normalised alike first (`normalised`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import jiwer

from controller.core.errors import Refused
from controller.core.eval_set import EvalSet, Utterance
from controller.core.gate import Measure

# Scripts written without spaces: Han (with extensions), kana, compatibility ideographs.
_UNSPACED: Final = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_DECIMAL_POINT: Final = re.compile(r"(?<=\d)\.(?=\d)")
_JOINED: Final = re.compile(r"(?<=\d),(?=\d{3})|(?<=\w)['’](?=\w)")
GAP: Final = "-"  # in aligned text; never part of normalised text
_AS_THEY_ARE: Final = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])


@dataclass(frozen=True, slots=True)
class Errors:
    """Edits against `length` reference units (characters or tokens)."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """A ratio: 0.05 is 5 %; may exceed 1. Without reference units: the edits themselves."""
        return self.total / max(1, self.length)

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """`hypothesis` is None where the request failed."""

    eval_set: str
    key: str
    reference: str
    hypothesis: str | None
    cer: Errors
    wer: Errors

    def errors(self, measure: Measure) -> Errors:
        return self.cer if measure == "cer" else self.wer


@dataclass(frozen=True, slots=True)
class Score:
    """One version's errors on one or more eval sets."""

    utterances: tuple[UtteranceScore, ...]

    def errors(self, measure: Measure = "cer") -> Errors:
        return sum((u.errors(measure) for u in self.utterances), Errors())

    def rate(self, measure: Measure = "cer") -> float:
        """Edits of all utterances over reference units of all (a ratio)."""
        return self.errors(measure).rate

    @property
    def failed(self) -> int:
        """How many requests failed; each counts as all deletions."""
        return sum(u.hypothesis is None for u in self.utterances)

    @property
    def eval_sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(u.eval_set for u in self.utterances))

    def of(self, *eval_sets: str) -> Score:
        """The part of the score that belongs to these eval sets."""
        return Score(tuple(u for u in self.utterances if u.eval_set in eval_sets))

    def worst(self, n: int, measure: Measure = "cer") -> tuple[UtteranceScore, ...]:
        """The `n` utterances with the most edits, most first; those without any left out."""
        wrong = [u for u in self.utterances if u.errors(measure).total]
        return tuple(sorted(wrong, key=lambda u: (-u.errors(measure).total, u.eval_set, u.key))[:n])


def score(eval_set: EvalSet, hypotheses: Mapping[str, str | None]) -> Score:
    """Score one version's transcripts (by utterance key) of one eval set.

    None is a failed request: all deletions. Raises Refused where a key has no entry: an
    utterance that was left out must not look like one that was heard well."""
    missing = [u.key for u in eval_set.utterances if u.key not in hypotheses]
    if missing:
        raise Refused(
            f"eval set {eval_set.name}: {len(missing)} of {len(eval_set.utterances)} utterances "
            f"have no transcript (first: {missing[0]}); nothing was scored. Evaluate it again"
        )
    return Score(tuple(_scored(eval_set.name, u, hypotheses[u.key]) for u in eval_set.utterances))


def combined(scores: Iterable[Score]) -> Score:
    """One score over several eval sets."""
    return Score(tuple(u for part in scores for u in part.utterances))


def _scored(eval_set: str, utterance: Utterance, hypothesis: str | None) -> UtteranceScore:
    heard = hypothesis or ""
    return UtteranceScore(
        eval_set=eval_set,
        key=utterance.key,
        reference=utterance.target,
        hypothesis=hypothesis,
        cer=_count(characters(utterance.target), characters(heard)),
        wer=_count(tokens(utterance.target), tokens(heard)),
    )


def _count(reference: list[str], hypothesis: list[str]) -> Errors:
    if not reference:  # jiwer has no rate for it
        return Errors(insertions=len(hypothesis))
    found = align_units(reference, hypothesis)
    return Errors(found.substitutions, found.deletions, found.insertions, len(reference))


def align_units(reference: list[str], hypothesis: list[str]) -> jiwer.WordOutput:
    """jiwer's minimum-edit alignment of two lists of characters or tokens without spaces."""
    return jiwer.process_words(
        " ".join(reference), " ".join(hypothesis), _AS_THEY_ARE, _AS_THEY_ARE
    )


def normalised(text: str) -> str:
    """What counts as said: NFKC, lower case, letters, digits and `%`, one space between runs.

    Other punctuation and symbols separate, but a decimal point stays (3.14 is not 314), and the
    comma of 1,000 and the apostrophe of don't vanish without a gap."""
    folded = _JOINED.sub("", unicodedata.normalize("NFKC", text).lower())
    return " ".join(".".join(map(_spoken, _DECIMAL_POINT.split(folded))).split())


def _spoken(text: str) -> str:
    return "".join(c if c == "%" or unicodedata.category(c)[0] in "LMN" else " " for c in text)


def characters(text: str) -> list[str]:
    """The units of CER: the characters of the normalised text, without spaces."""
    return list(normalised(text).replace(" ", ""))


def tokens(text: str) -> list[str]:
    """The units of WER: each CJK character is a token, and so is each run of others between
    spaces (`打开 wifi 5` is 打, 开, wifi, 5; `wifi5` is one)."""
    return _TOKEN.findall(normalised(text))


@dataclass(frozen=True, slots=True)
class Alignment:
    """`rows[0]` is the reference, below it each transcript; a column is one unit or GAP."""

    rows: tuple[tuple[str, ...], ...]
    separator: str = ""

    def lines(self) -> tuple[str, ...]:
        """The rows as text of one width, for a terminal in which CJK is two cells wide."""
        widths = [max(map(display_width, column)) for column in zip(*self.rows, strict=True)]
        return tuple(
            self.separator.join(
                cell + " " * (width - display_width(cell))
                for cell, width in zip(row, widths, strict=True)
            )
            for row in self.rows
        )


def align(reference: str, *hypotheses: str | None, measure: Measure = "cer") -> Alignment:
    """The normalised texts under one another, by character (cer) or token (wer).

    Each transcript is aligned with the reference as it is scored. None is a failed request."""
    units = characters if measure == "cer" else tokens
    said = units(reference)
    heard = [_slots(said, units(hypothesis or "")) for hypothesis in hypotheses]
    rows: list[list[str]] = [[] for _ in range(1 + len(heard))]
    for index in range(len(said) + 1):  # before each unit, and at the end, what was inserted
        most = max((len(inserted[index]) for inserted, _ in heard), default=0)
        rows[0] += [GAP] * most + said[index : index + 1]
        for row, (inserted, opposite) in zip(rows[1:], heard, strict=True):
            row += inserted[index] + [GAP] * (most - len(inserted[index]))
            row += opposite[index : index + 1]
    return Alignment(tuple(map(tuple, rows)), " " if measure == "wer" else "")


def _slots(said: list[str], heard: list[str]) -> tuple[list[list[str]], list[str]]:
    """What was inserted before each unit of the reference (and at its end), and what stands
    opposite each unit."""
    inserted: list[list[str]] = [[] for _ in range(len(said) + 1)]
    opposite = [GAP] * len(said)
    if not said:
        return [heard], opposite
    for chunk in align_units(said, heard).alignments[0]:
        units = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[chunk.ref_start_idx] += units
        elif chunk.type != "delete":
            opposite[chunk.ref_start_idx : chunk.ref_end_idx] = units
    return inserted, opposite


def display_width(text: str) -> int:
    """Terminal cells: East Asian wide characters take two, combining marks none."""
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
