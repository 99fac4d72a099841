"""What people's votes say: how often they prefer the new version, and whether they agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.review.betting import interval
from controller.core.review.pairs import GROUP, ReviewPair


class Choice(StrEnum):
    """What a person who hears a recording and reads two texts may say."""

    LEFT = "left"
    RIGHT = "right"
    SAME = "same"
    NEITHER = "neither"  # both wrong


class Preference(StrEnum):
    CANARY = "canary"
    STABLE = "stable"
    SAME = "same"
    NEITHER = "neither"


_SCORES: Final = {
    Preference.CANARY: 1.0,
    Preference.STABLE: 0.0,
    Preference.SAME: 0.5,
    Preference.NEITHER: 0.5,
}


@dataclass(frozen=True, slots=True)
class Vote:
    """`corrected`: what was really said, where the rater wrote it down."""

    pair: str
    rater: str
    prefers: Preference
    corrected: str | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """Of the pairs of the random sample whose groups have a vote on each: `share` is how often
    the new version is preferred (same and neither: half), 0 to 1, with its 95 % `interval`, that
    holds however often one looks; strictly so while nobody votes on a pair, or on one of the same
    block, that was counted: its score changes then. `blocks` counts speakers, recordings, or
    pairs where neither is named; `sampled` the pairs of the whole sample that can be, or were,
    voted on, `chosen` also those that were forgotten. `agreement`: None where there is nothing to
    tell."""

    share: float
    interval: tuple[float, float]
    pairs: int
    blocks: int
    votes: int
    raters: int
    counts: dict[Preference, int]
    agreement: float | None
    sampled: int
    chosen: int
    uncounted: int  # votes on the worst pairs and in groups that are not complete


def preference(choice: Choice, canary_is_left: bool) -> Preference:
    """Whose text was chosen."""
    match choice:
        case Choice.SAME | Choice.NEITHER:
            return Preference(choice.value)
        case _:
            left = choice is Choice.LEFT
            return Preference.CANARY if left == canary_is_left else Preference.STABLE


def opinion(pairs: Sequence[ReviewPair], votes: Iterable[Vote]) -> Opinion:
    """`votes`: one of each rater on each pair. Raises nothing.

    Only whole groups count, in the sample's order: else the pairs that people reach first, or
    like to answer, would decide. Pairs of one speaker are alike: a block is one score."""
    by_pair: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_pair[vote.pair].append(vote)
    chosen = [p for p in pairs if p.sample is not None]
    asked = (p for p in chosen if p.difference or p.id in by_pair)
    sample = sorted(asked, key=lambda p: p.sample or 0)
    counted = _whole_groups(sample, by_pair)
    given = [vote for pair in counted for vote in by_pair[pair.id]]
    scores: dict[Hashable, list[float]] = defaultdict(list)
    for pair in counted:
        scores[pair.block].append(_mean([_SCORES[vote.prefers] for vote in by_pair[pair.id]]))
    blocks = [_mean(block) for block in scores.values()]
    return Opinion(
        share=_mean(blocks) if blocks else 0.5,
        interval=interval(blocks),
        pairs=len(counted),
        blocks=len(blocks),
        votes=len(given),
        raters=len({vote.rater for vote in given}),
        counts={kind: sum(v.prefers is kind for v in given) for kind in Preference},
        agreement=nominal_alpha([[v.prefers for v in by_pair[pair.id]] for pair in counted]),
        sampled=len(sample),
        chosen=len(chosen),
        uncounted=sum(map(len, by_pair.values())) - len(given),
    )


def _whole_groups(sample: Sequence[ReviewPair], by_pair: dict[str, list[Vote]]) -> list[ReviewPair]:
    counted: list[ReviewPair] = []
    for begin in range(0, len(sample), GROUP):
        group = sample[begin : begin + GROUP]
        if any(pair.id not in by_pair for pair in group):
            break
        counted += group
    return counted


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def nominal_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha of names without order: 1 is agreement, 0 what chance gives.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C. `units`: what was
    said of each by one or more people; those of one alone tell nothing. None where no two spoke of
    the same, and where all said the same everywhere: then nothing could have been confused."""
    paired = [Counter(unit) for unit in units if len(unit) > 1]
    total: Counter[Hashable] = sum(paired, Counter())
    n = total.total()
    expected = n * n - sum(count * count for count in total.values())
    if not expected:
        return None
    observed = sum((_different(unit) / (unit.total() - 1) for unit in paired), 0.0)
    return 1 - (n - 1) * observed / expected


def _different(unit: Counter[Hashable]) -> int:
    """Ordered pairs of people who said different things of one unit."""
    return unit.total() ** 2 - sum(count * count for count in unit.values())
