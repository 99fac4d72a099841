"""One version's transcripts of eval sets, scored: which edits, in which unit and form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.core.errors import Refused
from controller.core.eval_set import EvalSet, Utterance
from controller.core.gate import Form, Measure
from controller.core.scoring.edits import Errors, count_edits
from controller.core.scoring.numbers import numbers_unavailable
from controller.core.scoring.units import UNITS


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """`reference` is empty where silence was expected, `hypothesis` None where the request
    failed. `block`: what utterances that are alike have in common (speaker, recording).

    `seconds` is how long the transcript took; None where nobody measured it."""

    eval_set: str
    key: str
    reference: str
    hypothesis: str | None
    tags: tuple[str, ...] = ()
    block: str = ""
    duration_ms: int = 0
    hotwords: tuple[str, ...] = ()
    seconds: float | None = None
    _counted: dict[tuple[Measure, Form], Errors] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def errors(self, measure: Measure = "cer", form: Form = "written") -> Errors:
        """Counted at the first question. A failed request is all deletions.

        Raises Refused for "numbers" where wetextprocessing is not installed."""
        counted = self._counted.get((measure, form))
        if counted is None:
            counted = self._counted[measure, form] = self._count(measure, form)
        return counted

    def _count(self, measure: Measure, form: Form) -> Errors:
        units = UNITS[measure]
        found = count_edits(units(self.reference, form), units(self.hypothesis or "", form))
        return self._as_a_sentence(found) if measure == "ser" else found

    def _as_a_sentence(self, found: Errors) -> Errors:
        """Silence is a sentence, too: text in it, or no answer at all, makes it wrong."""
        lost = int(self.hypothesis is None)
        return Errors(found.substitutions, max(found.deletions, lost), found.insertions, 1)


@dataclass(frozen=True, slots=True)
class Score:
    """One version's errors on one or more eval sets."""

    utterances: tuple[UtteranceScore, ...]

    def errors(self, measure: Measure = "cer", form: Form = "written") -> Errors:
        return sum((u.errors(measure, form) for u in self.utterances), Errors())

    def rate(self, measure: Measure = "cer", form: Form = "written") -> float:
        """Edits of all utterances over reference units of all (a ratio)."""
        return self.errors(measure, form).rate

    @property
    def forms(self) -> tuple[Form, ...]:
        """Which forms can be asked for here; numbers_unavailable() says why one is missing."""
        return ("written",) if numbers_unavailable() else ("written", "numbers")

    @property
    def failed(self) -> int:
        """How many requests failed; each counts as all deletions."""
        return sum(u.hypothesis is None for u in self.utterances)

    @property
    def eval_sets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(u.eval_set for u in self.utterances))

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags, those of the most utterances first."""
        counts = Counter(tag for u in self.utterances for tag in dict.fromkeys(u.tags))
        return tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))

    def of(self, *eval_sets: str) -> Score:
        """The part of the score that belongs to these eval sets."""
        return Score(tuple(u for u in self.utterances if u.eval_set in eval_sets))

    def tagged(self, tag: str) -> Score:
        """The part of the score whose utterances have this tag."""
        return Score(tuple(u for u in self.utterances if tag in u.tags))

    def worst(
        self, n: int, measure: Measure = "cer", form: Form = "written"
    ) -> tuple[UtteranceScore, ...]:
        """The `n` utterances with the most edits, most first; those without any left out."""
        edits = {id(u): u.errors(measure, form).total for u in self.utterances}
        wrong = [u for u in self.utterances if edits[id(u)]]
        return tuple(sorted(wrong, key=lambda u: (-edits[id(u)], u.eval_set, u.key))[:n])


def score(
    eval_set: EvalSet,
    hypotheses: Mapping[str, str | None],
    seconds: Mapping[str, float] | None = None,
) -> Score:
    """Score one version's transcripts (by utterance key) of one eval set.

    None is a failed request: all deletions. `seconds` is how long each took, where known. Raises
    Refused where a key has no entry: an utterance that was left out must not look like one that
    was heard well."""
    missing = [u.key for u in eval_set.utterances if u.key not in hypotheses]
    if missing:
        raise Refused(
            f"eval set {eval_set.name}: {len(missing)} of {len(eval_set.utterances)} utterances "
            f"have no transcript (first: {missing[0]}); nothing was scored. Evaluate it again"
        )
    took = seconds or {}
    return Score(
        tuple(
            _scored(eval_set.name, u, hypotheses[u.key], took.get(u.key))
            for u in eval_set.utterances
        )
    )


def combined(scores: Iterable[Score]) -> Score:
    """One score over several eval sets."""
    return Score(tuple(u for part in scores for u in part.utterances))


def _scored(
    eval_set: str, utterance: Utterance, hypothesis: str | None, seconds: float | None
) -> UtteranceScore:
    return UtteranceScore(
        eval_set=eval_set,
        key=utterance.key,
        reference=utterance.target,
        hypothesis=hypothesis,
        tags=utterance.slices,
        block=utterance.block,
        duration_ms=utterance.duration_ms,
        hotwords=utterance.hotwords,
        seconds=seconds,
    )
