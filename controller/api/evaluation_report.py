"""What an evaluation found, for JSON: rates in every unit and form, by eval set and by slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from controller.core.gate import ErrorRateGate, Form, Measure
from controller.core.scoring import (
    Score,
    UtteranceScore,
    align,
    measures,
    normalisation,
    numbers_unavailable,
)
from controller.core.verdict import judge

_WORST: Final = 10
_COMPARED: Final[tuple[Measure, ...]] = ("cer", "mer", "wer")


def report(versions: Sequence[str], scores: Sequence[Score]) -> dict[str, Any]:
    """Rates are ratios (0.05 is 5 %), times are in seconds. `normalisation` names the chains by
    which they were counted: rates of different chains do not compare."""
    found: dict[str, Any] = {
        "versions": [
            {"version": version, "eval_sets": [_eval_set(score, s) for s in score.eval_sets]}
            for version, score in zip(versions, scores, strict=True)
        ],
        "normalisation": {form: normalisation(form).name for form in scores[0].forms},
        "numbers_unavailable": numbers_unavailable(),
        "worst": _worst(scores),
    }
    if len(scores) == 2 and not scores[0].failed:  # deletions of the first flatter the second
        found["differences"] = _differences(*scores)
    return found


def _eval_set(score: Score, name: str) -> dict[str, Any]:
    part = score.of(name)
    slices = [{"tag": tag} | _measured(of_tag) for tag, of_tag in measures.by_tag(part).items()]
    return {"eval_set": name} | _measured(part) | {"slices": slices}


def _measured(part: Score) -> dict[str, Any]:
    return {
        "utterances": len(part.utterances),
        "failed": part.failed,
        **{measure: part.rate(measure) for measure in get_args(Measure)},
        "errors": {
            measure: {form: _errors(part, measure, form) for form in part.forms}
            for measure in get_args(Measure)
        },
        "number_accuracy": {f: _share(measures.number_accuracy(part, f)) for f in part.forms},
        "hotword_recall": _share(measures.hotword_recall(part)),
        "false_hotwords": _share(measures.false_hotwords(part)),
        "empty_outputs": _share(measures.empty_outputs(part)),
        "repetition_loops": _share(measures.repetition_loops(part)),
        "text_on_silence": _share(measures.text_on_silence(part)),
        "real_time_factor": measures.real_time_factor(part),
        "latency_p50_seconds": measures.latency_seconds(part, 0.50),
        "latency_p95_seconds": measures.latency_seconds(part, 0.95),
    }


def _errors(part: Score, measure: Measure, form: Form) -> dict[str, Any]:
    errors = part.errors(measure, form)
    return {
        "rate": errors.rate,
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
        "length": errors.length,
    }


def _share(share: measures.Share) -> dict[str, Any]:
    return {"count": share.count, "of": share.of, "rate": share.rate}


def _differences(one: Score, other: Score) -> list[dict[str, Any]]:
    gates = [ErrorRateGate(name=measure, measure=measure) for measure in _COMPARED]
    return [
        {"gate": verdict.gate, "difference": verdict.difference, "interval": verdict.interval}
        for gate in gates
        for verdict in judge(gate, one, other)
    ]


def _worst(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The utterances with the most errors of the last version more than of the first (where
    there are two), with reference and transcripts aligned in columns."""
    by_key = [{(u.eval_set, u.key): u for u in score.utterances} for score in scores]

    def more_errors(key: tuple[str, str]) -> int:
        before = _errors_of(by_key[0][key]) if len(scores) == 2 else 0
        return _errors_of(by_key[-1][key]) - before

    worst = sorted(by_key[-1], key=more_errors, reverse=True)[:_WORST]
    return [
        {
            "eval_set": key[0],
            "key": key[1],
            "more_errors": more_errors(key),
            "aligned": align(
                by_key[0][key].reference, *(known[key].hypothesis for known in by_key)
            ).lines(),
        }
        for key in worst
        if more_errors(key) > 0
    ]


def _errors_of(utterance: UtteranceScore) -> int:
    return utterance.errors("cer").total
