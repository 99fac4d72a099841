"""Measures a rollout's gates: both versions' transcripts of every eval set, scored and judged."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from controller.core.errors import NodeUnavailable
from controller.core.eval_set import EvalSet
from controller.core.rollout import Rollout
from controller.core.scoring import Score, combined, score
from controller.core.verdict import Verdict, judge
from controller.engine.evaluate import WAITS_SECONDS, Transcripts, evaluate
from controller.engine.evidence import measured
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.store import Store
from controller.engine.records import Evaluation, Event

log = logging.getLogger(__name__)
_NAMED: Final = 5  # recordings without a transcript; there may be thousands
Progress = Callable[[str, str, int, int], None]  # version, eval set, done, of


class Evaluator:
    """Transcribes eval sets with a version's nodes; what was transcribed once is kept, since a
    version and an eval set with the same digests give the same transcripts."""

    def __init__(
        self,
        store: Store,
        client: NodeClient,
        addresses: Callable[[str], Sequence[str]],
        digests: Mapping[str, str],
        eval_sets: Callable[[str], EvalSet],
    ) -> None:
        self._store = store
        self._client = client
        self._addresses = addresses
        self._digests = digests
        self._eval_sets = eval_sets
        self.waits_seconds: Sequence[float] = WAITS_SECONDS  # before further tries

    async def kept(
        self, version: str, eval_sets: Sequence[str]
    ) -> tuple[tuple[EvalSet, Evaluation], ...] | None:
        """All transcripts where they are kept already, so that no node is needed; else None."""
        digest = self._digests.get(version)
        if digest is None:
            return None
        found = []
        for name in eval_sets:
            eval_set = await asyncio.to_thread(self._eval_sets, name)
            evaluation = await asyncio.to_thread(self._store.evaluation, digest, eval_set.digest)
            if evaluation is None:
                return None
            found.append((eval_set, evaluation))
        return tuple(found)

    async def transcripts(
        self, version: str, eval_sets: Sequence[str], progress: Progress | None = None
    ) -> tuple[tuple[EvalSet, Evaluation], ...]:
        """The transcripts of all the sets. Raises NodeUnavailable where no node answers."""
        sets = [await asyncio.to_thread(self._eval_sets, name) for name in eval_sets]
        return tuple([(s, await self._one(version, s, progress)) for s in sets])

    async def write_down(self, event: Event) -> None:
        """Into the audit."""
        await asyncio.to_thread(self._store.save, [event])

    async def _one(self, version: str, eval_set: EvalSet, progress: Progress | None) -> Evaluation:
        digest = self._digests.get(version)
        if digest is None:
            raise NodeUnavailable(f"no node of {version} is ready: its digest is not known yet")
        kept = await asyncio.to_thread(self._store.evaluation, digest, eval_set.digest)
        if kept is not None:
            return kept
        return await self._transcribe(version, digest, eval_set, progress)

    async def _transcribe(
        self, version: str, digest: str, eval_set: EvalSet, progress: Progress | None
    ) -> Evaluation:
        def report(done: int, of: int) -> None:
            if progress is not None:
                progress(version, eval_set.name, done, of)

        transcripts = await evaluate(
            version,
            lambda: self._addresses(version),
            eval_set,
            self._client,
            on_progress=report,
            waits_seconds=self.waits_seconds,
        )
        now = datetime.datetime.now(datetime.UTC)
        evaluation = Evaluation(
            version,
            digest,
            eval_set.name,
            eval_set.digest,
            now,
            transcripts.hypotheses,
            transcripts.seconds,
        )
        if transcripts.errors:  # told, not kept: the next try may do
            _log_failures(transcripts)
        else:
            await asyncio.to_thread(self._store.save_evaluation, evaluation, _evaluated(evaluation))
        return evaluation


async def measure(
    rollout: Rollout, evaluator: Evaluator, progress: Progress | None = None
) -> tuple[Verdict, ...]:
    """The verdicts of all gates of the rollout's plan. Raises NodeUnavailable where a version
    could not be measured, and where the old one gave no text of a recording."""
    names = rollout.plan.eval_sets
    stable = await evaluator.transcripts(rollout.from_version, names, progress)
    _require_all(stable)
    canary = await evaluator.transcripts(rollout.version, names, progress)
    verdicts, event = await asyncio.to_thread(_judge, rollout, stable, canary)
    await evaluator.write_down(event)
    return verdicts


def _require_all(stable: Sequence[tuple[EvalSet, Evaluation]]) -> None:
    """A canary is not measured by what counts as deletions of stable: a worse one would pass."""
    for eval_set, evaluation in stable:
        failed = [key for key, text in evaluation.hypotheses.items() if text is None]
        if failed:
            more = ", …" if len(failed) > _NAMED else ""
            raise NodeUnavailable(
                f"{evaluation.version} gave no transcript of {len(failed):,} of "
                f"{len(evaluation.hypotheses):,} recordings of {eval_set.name} "
                f"({', '.join(failed[:_NAMED])}{more}): nothing can be compared with that. The "
                f"controller's log says why; `rollout retry` measures again"
            )


def _log_failures(transcripts: Transcripts) -> None:
    for key, why in list(transcripts.errors.items())[:_NAMED]:
        log.warning("evaluation.no_transcript version=%s eval_set=%s key=%s reason=%s",
                    transcripts.version, transcripts.eval_set, key, why)  # fmt: skip


def _judge(
    rollout: Rollout,
    stable: Sequence[tuple[EvalSet, Evaluation]],
    canary: Sequence[tuple[EvalSet, Evaluation]],
) -> tuple[tuple[Verdict, ...], Event]:
    scores = total(stable), total(canary)
    verdicts = tuple(verdict for gate in rollout.plan.gates for verdict in judge(gate, *scores))
    now = datetime.datetime.now(datetime.UTC)
    return verdicts, measured(rollout, stable, canary, scores, now)


def total(evaluations: Sequence[tuple[EvalSet, Evaluation]]) -> Score:
    """One score over all the sets."""
    return combined(
        score(eval_set, evaluation.hypotheses, evaluation.seconds)
        for eval_set, evaluation in evaluations
    )


def _evaluated(evaluation: Evaluation) -> Event:
    return Event(
        kind="evaluation.finished",
        subject=evaluation.version,
        message=f"{evaluation.version} transcribed {len(evaluation.hypotheses)} utterances of "
        f"{evaluation.eval_set}",
        actor="controller",
        at=evaluation.at,
        data={"eval_set": evaluation.eval_set, "digest": evaluation.version_digest},
    )
