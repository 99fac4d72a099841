"""Keeps the preference gates of the rollout under way: makes their queue of pairs, as a job, and
judges them by what people have said so far."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Final

from controller.core.consequence import unmeasured
from controller.core.errors import NotFound
from controller.core.review.judge import judge
from controller.core.rollout import Phase, Rollout
from controller.core.verdict import Verdict
from controller.engine.gates import Evaluator
from controller.engine.jobs import Jobs
from controller.engine.review import Review

_MEASURED: Final = frozenset({Phase.HOLDING, Phase.WAITING, Phase.PAUSED})


class ReviewKeeper:
    def __init__(self, review: Review, evaluator: Evaluator, jobs: Jobs) -> None:
        self._review = review
        self._evaluator = evaluator
        self._jobs = jobs

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """One for each preference gate of its plan."""
        gates = rollout.plan.preference_gates
        opinion = self._review.opinions.get(rollout.id)
        if opinion is not None:
            return tuple(judge(gate, opinion) for gate in gates)
        problem = self._jobs.error(_key(rollout.id))
        why = f"the pairs cannot be chosen: {problem}" if problem else "the pairs are being chosen"
        return tuple(replace(verdict, keys=0) for verdict in unmeasured(gates, (), why))

    async def resume(self, rollout: Rollout | None) -> None:
        """Know the votes before the first tick: a step must not stop for want of them."""
        if rollout is None or rollout.ended or not rollout.plan.preference_gates:
            return
        with contextlib.suppress(NotFound):  # nobody was asked yet
            await self._review.recall(rollout.id)

    def forget_problem(self, rollout_id: str) -> None:
        """It is to be tried again."""
        self._jobs.forget_error(_key(rollout_id))

    def converge(self, rollout: Rollout | None) -> None:
        """Make the queue once both versions have transcribed."""
        if rollout is None or not rollout.plan.preference_gates:
            return
        key = _key(rollout.id)
        if rollout.ended:
            self._jobs.cancel(key)
            return
        waits = rollout.phase not in _MEASURED or (rollout.plan.gates and not rollout.evaluated)
        if waits or rollout.id in self._review.opinions or self._jobs.error(key):
            return
        self._jobs.ensure(key, lambda: self._open(rollout))

    async def _open(self, rollout: Rollout) -> None:
        for version in (rollout.from_version, rollout.version):  # kept, unless no gate asked
            await self._evaluator.transcripts(version, rollout.plan.eval_sets)
        await self._review.open(rollout, "controller")


def _key(rollout_id: str) -> str:
    return f"review:{rollout_id}"
