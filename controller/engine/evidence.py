"""What a rollout's gates were measured on, for the audit: which files, and the worst utterances.

Eval sets change and transcripts are replaced; what decided a rollout is to be read for years."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final

from controller.core.eval_set import EvalSet
from controller.core.gate import ErrorRateGate, Form, Measure
from controller.core.rollout import Rollout
from controller.core.scoring import Score, UtteranceScore, normalisation
from controller.engine.records import Evaluation, Event

WORST: Final = 12
_LONGEST_TEXT: Final = 400  # characters; an hour of speech would fill the audit

Transcribed = Sequence[tuple[EvalSet, Evaluation]]


def measured(
    rollout: Rollout,
    stable: Transcribed,
    canary: Transcribed,
    scores: tuple[Score, Score],
    now: datetime.datetime,
) -> Event:
    """The event: digests of versions and eval sets, and the worst pairs."""
    gate = rollout.plan.gates[0] if rollout.plan.gates else ErrorRateGate()
    sets = [
        {"name": s.name, "digest": s.digest, "utterances": len(s.utterances)} for s, _ in stable
    ]
    of = ", ".join(f"{len(s.utterances):,} utterances of {s.name}" for s, _ in stable)
    data = {
        "step": rollout.step,
        "measure": gate.measure,
        "form": gate.form,
        "normalisation": normalisation(gate.form).name,
        "stable": _version(rollout.from_version, stable),
        "canary": _version(rollout.version, canary),
        "eval_sets": sets,
        "worst": worst_pairs(*scores, gate.measure, gate.form),
    }
    message = f"gates measured on both versions' transcripts of {of}"
    return Event("gates.measured", rollout.id, message, "controller", now, data)


def worst_pairs(stable: Score, canary: Score, measure: Measure, form: Form) -> list[dict[str, Any]]:
    """The utterances in which the canary has the most errors more than stable, most first."""
    before = {(u.eval_set, u.key): u for u in stable.utterances}
    pairs = [(before[u.eval_set, u.key], u) for u in canary.utterances]

    def more(pair: tuple[UtteranceScore, UtteranceScore]) -> int:
        return pair[1].errors(measure, form).total - pair[0].errors(measure, form).total

    worse = sorted((p for p in pairs if more(p) > 0), key=lambda p: (-more(p), p[1].key))
    return [
        {
            "eval_set": b.eval_set,
            "key": b.key,
            "tags": list(b.tags),
            "more_errors": more((b, c)),
            "reference": b.reference[:_LONGEST_TEXT],
            "stable": _text(b),
            "canary": _text(c),
        }
        for b, c in worse[:WORST]
    ]


def _text(utterance: UtteranceScore) -> str | None:
    """None where the request failed."""
    return None if utterance.hypothesis is None else utterance.hypothesis[:_LONGEST_TEXT]


def _version(name: str, transcribed: Transcribed) -> dict[str, Any]:
    return {"version": name, "digest": transcribed[0][1].version_digest if transcribed else None}
