"""Measures the gates of the rollout under way, as a job; the loop takes the results as facts."""

from __future__ import annotations

from controller.core.errors import NodeUnavailable
from controller.core.rollout import Phase, Rollout
from controller.core.verdict import Verdict
from controller.engine.gates import Evaluator, measure
from controller.engine.jobs import Jobs
from controller.engine.observer import Observer


class GateKeeper:
    """Remembers verdicts only while it lives: transcripts are kept, so measuring again after a
    restart is quick."""

    def __init__(self, evaluator: Evaluator, observer: Observer, jobs: Jobs) -> None:
        self._evaluator = evaluator
        self._observer = observer
        self._jobs = jobs
        self._verdicts: dict[str, tuple[Verdict, ...]] = {}
        self.progress = ""  # in words

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...] | None:
        """None until they are measured."""
        return self._verdicts.get(rollout.id)

    def problem(self, rollout: Rollout) -> str | None:
        """Why they cannot be measured; None while that is being tried."""
        key = _key(rollout.id)
        return None if self._jobs.runs(key) else self._jobs.error(key)

    def forget(self, rollout_id: str) -> None:
        """They are to be measured again."""
        self._verdicts.pop(rollout_id, None)
        self._jobs.forget_error(_key(rollout_id))

    def converge(self, rollout: Rollout | None) -> None:
        """Start measuring where that is due, stop where nobody waits for it any more."""
        if rollout is None:
            return
        key = _key(rollout.id)
        if rollout.ended:
            self._jobs.cancel(key)  # its requests would hold up the canary's drain
        if rollout.phase is not Phase.HOLDING:
            return
        if rollout.evaluated or not rollout.plan.gates or self._jobs.error(key):
            return
        if self._both_ready(rollout):
            self._jobs.ensure(key, lambda: self._measure(rollout))

    async def _measure(self, rollout: Rollout) -> None:
        try:
            verdicts = await measure(rollout, self._evaluator, self._progress)
        except NodeUnavailable:
            if self._both_ready(rollout):
                raise
            return  # a node went away: measured again when it is back
        self._verdicts[rollout.id] = verdicts

    def _both_ready(self, rollout: Rollout) -> bool:
        versions = (rollout.from_version, rollout.version)
        return all(self._observer.addresses(version) for version in versions)

    def _progress(self, version: str, eval_set: str, done: int, of: int) -> None:
        self.progress = f"{version} transcribes {eval_set}: {done} of {of}"


def _key(rollout_id: str) -> str:
    return f"gates:{rollout_id}"
