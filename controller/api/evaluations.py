"""Evaluations by hand: `rollout evaluate v1 v2 --eval-set digits`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controller.api.evaluation_report import report
from controller.core.errors import ControllerError, NotFound
from controller.engine.gates import total
from controller.engine.loop import Loop


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
                async with self._loop.evaluated.ready(version):
                    found = await evaluator.transcripts(version, eval_sets, progress)
            scores.append(await asyncio.to_thread(total, found))
        return await asyncio.to_thread(report, versions, scores)
