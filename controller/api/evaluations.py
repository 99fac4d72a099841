"""Evaluations by hand: `rollout evaluate v1 v2 --eval-set digits`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.core.errors import ControllerError, NotFound
from controller.core.gate import ErrorRateGate
from controller.core.scoring import Score, align
from controller.core.verdict import judge
from controller.engine.gates import total
from controller.engine.loop import Loop

_WORST: Final = 10
_MEASURES: Final = ("cer", "wer")


@dataclass(slots=True)
class _Run:
    task: asyncio.Task[dict[str, Any]]
    progress: str = "begins"


class Evaluations:
    """Runs evaluations in the background; results are kept until the controller ends."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._runs: list[_Run] = []

    async def begin(self, versions: Sequence[str], eval_sets: Sequence[str]) -> int:
        """The number under which `result` knows it. Raises NotFound for an unknown version."""
        for version in versions:
            if version not in self._loop.versions:
                raise NotFound(f"there is no version {version!r}; nothing was evaluated")
        number = len(self._runs)
        task = asyncio.create_task(self._run(number, versions, eval_sets))
        self._runs.append(_Run(task))
        return number

    def result(self, number: int) -> dict[str, Any]:
        """`state` is running, done or failed."""
        if not 0 <= number < len(self._runs):
            raise NotFound(f"there is no evaluation {number}")
        run = self._runs[number]
        if not run.task.done():
            return {"state": "running", "progress": run.progress}
        error = run.task.exception()
        if isinstance(error, ControllerError):
            raise error
        if error is not None:
            return {"state": "failed", "reason": str(error) or type(error).__name__}
        return {"state": "done"} | run.task.result()

    async def _run(
        self, number: int, versions: Sequence[str], eval_sets: Sequence[str]
    ) -> dict[str, Any]:
        def progress(version: str, eval_set: str, done: int, of: int) -> None:
            self._runs[number].progress = f"{version} transcribes {eval_set}: {done} of {of}"

        scores = []
        for version in versions:
            evaluator = self._loop.evaluator
            found = await evaluator.kept(version, eval_sets)
            if found is None:
                self._runs[number].progress = f"{version} gets a node"
                async with self._loop.evaluated(version):
                    found = await evaluator.transcripts(version, eval_sets, progress)
            scores.append(await asyncio.to_thread(total, found))
        return await asyncio.to_thread(_report, versions, scores)


def _report(versions: Sequence[str], scores: Sequence[Score]) -> dict[str, Any]:
    report: dict[str, Any] = {
        "versions": [
            {"version": version, "eval_sets": [_rates(score, s) for s in score.eval_sets]}
            for version, score in zip(versions, scores, strict=True)
        ],
        "worst": _worst(scores),
    }
    if len(scores) == 2:
        gates = [ErrorRateGate(name=measure, measure=measure) for measure in _MEASURES]
        report["differences"] = [
            {"gate": v.gate, "difference": v.difference, "interval": v.interval}
            for gate in gates
            for v in judge(gate, scores[0], scores[1])
        ]
    return report


def _rates(score: Score, eval_set: str) -> dict[str, Any]:
    part = score.of(eval_set)
    return {
        "eval_set": eval_set,
        "utterances": len(part.utterances),
        "failed": part.failed,
        "cer": part.rate("cer"),
        "wer": part.rate("wer"),
    }


def _worst(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The utterances with the most errors of the last version more than of the first (where
    there are two), with reference and transcripts aligned in columns."""
    by_key = [{(u.eval_set, u.key): u for u in score.utterances} for score in scores]

    def more_errors(key: tuple[str, str]) -> int:
        before = by_key[0][key].errors().total if len(scores) == 2 else 0
        return by_key[-1][key].errors().total - before

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
