"""Which pairs people are asked about, in which order, and which text stands on the left.

Those that disagree most show what is wrong, a random sample shows how often. Both come mixed, in
groups; everybody goes through the groups in the same order, so that votes overlap, and through the
pairs of a group in an order of their own. All chance is a keyed hash of what it decides: the same
seed gives the same queue, and who does not know it can tell no side from an id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.eval_set import EvalSet, Utterance
from controller.core.scoring import count_edits, tokens
from controller.core.scoring.normalisation import whole, without_tags

SAMPLE: Final = 1000  # pairs at most
WORST: Final = 30
GROUP: Final = 7  # of the sample; with them come the next of the worst
_WORST_IN_GROUP: Final = 3

Texts = Mapping[str, str | None]  # by utterance key; None where the request failed


@dataclass(frozen=True, slots=True)
class Difference:
    """A recording of which two versions gave texts that differ in more than punctuation.
    `disagreement`: edits of words and Han characters, over the longer text's; 0 to 1."""

    eval_set: str
    utterance: Utterance
    stable: str
    canary: str
    disagreement: float


@dataclass(frozen=True, slots=True)
class ReviewPair:
    """A difference in the queue. `sample`: its place in the random sample, None where it is only
    among the `worst`. `group`: with which others it comes. `difference`: None once it was
    forgotten; votes on it count on."""

    id: str
    group: int
    sample: int | None
    worst: bool
    difference: Difference | None

    @property
    def block(self) -> tuple[str, str]:
        """What it shares with pairs that are alike: a speaker, or a recording."""
        if self.difference is None:
            return "", self.id
        return self.difference.eval_set, self.difference.utterance.block


def differences(eval_set: EvalSet, stable: Texts, canary: Texts) -> list[Difference]:
    """Of the recordings that both versions gave a text of."""
    found = []
    for utterance in eval_set.utterances:
        before, after = stable.get(utterance.key), canary.get(utterance.key)
        if before is None or after is None:
            continue  # a failed request is no matter of taste
        if share := disagreement(before, after):
            found.append(Difference(eval_set.name, utterance, before, after, share))
    return found


def disagreement(one: str, other: str) -> float:
    """Edits of words and Han characters over those of the longer text; 0 to 1."""
    units = tokens(one), tokens(other)
    return count_edits(*units).total / max(1, *map(len, units))


def shown(text: str) -> str:
    """As people are to see it: a model's tags would tell it from another."""
    return " ".join(without_tags(whole(text)).split())


def queue(
    found: Iterable[Difference], seed: str, sample: int = SAMPLE, worst: int = WORST
) -> tuple[ReviewPair, ...]:
    """A random sample of the differences, and those that disagree most; each once."""
    ids = {_hash(seed, "pair", d.eval_set, d.utterance.key): d for d in found}
    chance = sorted(ids, key=lambda pair: _hash(seed, "sample", pair))
    most = sorted(chance, key=lambda pair: -ids[pair].disagreement)[:worst]
    places = {pair: place for place, pair in enumerate(chance[:sample])}
    groups = {pair: place // GROUP for pair, place in places.items()}
    for place, pair in enumerate(most):  # a pair that is both comes as early as it can
        group = place // _WORST_IN_GROUP
        groups[pair] = min(group, groups.get(pair, group))
    return tuple(
        ReviewPair(pair, group, places.get(pair), pair in most, ids[pair])
        for pair, group in sorted(groups.items(), key=lambda item: (item[1], item[0]))
    )


def next_pair(
    pairs: Sequence[ReviewPair], done: Collection[str], rater: str, seed: str
) -> ReviewPair | None:
    """What this rater is asked now; None at the end. `done`: the ids of pairs they voted on."""
    waiting = (pair for pair in pairs if pair.difference and pair.id not in done)
    return min(waiting, key=lambda p: (p.group, _hash(seed, "turn", rater, p.id)), default=None)


def canary_is_left(pair_id: str, rater: str, seed: str) -> bool:
    return int(_hash(seed, "side", rater, pair_id), 16) % 2 == 0


def _hash(seed: str, *what: str) -> str:
    text = "\0".join(what).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=seed.encode(), digest_size=10).hexdigest()
