"""Measures, before its first step, whether a version is as fast as the one it is to replace."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller.core.eval_set import EvalSet
from controller.core.preflight import Load, LoadCheck, Parity, compare
from controller.core.rollout import Phase, Rollout
from controller.engine.jobs import Jobs
from controller.engine.observer import Observer
from controller.engine.ports.node_client import NodeClient
from controller.engine.ports.store import Store
from controller.engine.records import Event
from controller.engine.workers import run_workers

ROUNDS = 3
RETRY_SECONDS = 5.0  # a node that was busy or gone; an eval set that could not be read
LONGEST_SECONDS = 1800.0  # of measuring, before it counts against the start deadline
_TIMEOUT_SECONDS = 120.0


@dataclass(slots=True)
class _Tries:
    """Those of one rollout: how long they have measured, and when the next may begin."""

    seconds: float = 0.0
    began_at: datetime.datetime | None = None  # of the one that runs
    due_at: datetime.datetime | None = None


class PreflightKeeper:
    """Facts of this controller's life: a rollout whose first step has not begun is measured
    again by the next one."""

    def __init__(
        self,
        observer: Observer,
        client: NodeClient,
        store: Store,
        jobs: Jobs,
        eval_set: Callable[[str], EvalSet],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._observer = observer
        self._client = client
        self._store = store
        self._jobs = jobs
        self._eval_set = eval_set
        self._now = now
        self._parity: dict[str, Parity] = {}  # by rollout
        self._tries: dict[str, _Tries] = {}  # by rollout

    def passed(self, rollout: Rollout) -> bool:
        """Whether nothing is left to be shown."""
        if not _is_asked(rollout):
            return True
        parity = self._parity.get(rollout.id)
        return parity is not None and parity.passed

    def problem(self, rollout: Rollout) -> str | None:
        """What speaks against any traffic."""
        parity = self._parity.get(rollout.id)
        return None if parity is None or parity.passed else f"it is too slow: {parity.reason}"

    def waits(self, rollout: Rollout) -> str | None:
        """Why it has not ended, in words; None where it has, or has not begun."""
        if not _is_asked(rollout) or rollout.id in self._parity:
            return None
        if error := self._jobs.error(_key(rollout)):
            return f"it could not be measured: {error}"
        if self._jobs.runs(_key(rollout)):
            return "it is being measured"
        if not self._old(rollout):
            return f"no node of {rollout.from_version} is ready to compare it with"
        return None

    def seconds(self, rollout: Rollout) -> float:
        """What its measuring has taken until now, as far as that is within reason."""
        tries = self._tries.get(rollout.id)
        if tries is None or not _is_asked(rollout):
            return 0.0
        running = _seconds(tries.began_at, self._now()) if tries.began_at is not None else 0.0
        return min(tries.seconds + running, LONGEST_SECONDS)

    def converge(self, rollout: Rollout | None) -> None:
        """Begin to measure as soon as both versions have a node; some time after a failure,
        again."""
        if rollout is None or rollout.plan.load_check is None or rollout.id in self._parity:
            return
        if rollout.phase is not Phase.PREPARING or rollout.reached_percent > 0:
            self._jobs.cancel(_key(rollout))
            self._tries.pop(rollout.id, None)
            return
        new = self._observer.addresses(rollout.version)
        old = self._old(rollout)
        tries = self._tries.setdefault(rollout.id, _Tries())
        if not new or not old or (tries.due_at is not None and self._now() < tries.due_at):
            return
        check = rollout.plan.load_check
        self._jobs.ensure(_key(rollout), lambda: self._try(rollout, tries, check, old[0], new[0]))

    def _old(self, rollout: Rollout) -> list[str]:
        """Nodes of the old version to measure: the baseline, where there is to be one, so that it
        begins as warm as the canary."""
        if rollout.plan.baseline_percent(rollout.current_step.percent):
            return self._observer.baseline_addresses(rollout.from_version)
        return self._observer.idle_addresses(rollout.from_version)

    async def _try(
        self, rollout: Rollout, tries: _Tries, check: LoadCheck, old: str, new: str
    ) -> None:
        tries.began_at = began_at = self._now()
        try:
            await self._measure(rollout, check, old, new)
        finally:
            ended_at = self._now()
            tries.seconds += _seconds(began_at, ended_at)
            tries.began_at = None
            tries.due_at = ended_at + datetime.timedelta(seconds=RETRY_SECONDS)

    async def _measure(self, rollout: Rollout, check: LoadCheck, old: str, new: str) -> None:
        """In turn, so that what else the machine does hits both. Raises NodeUnavailable."""
        whole = await asyncio.to_thread(self._eval_set, check.eval_set)
        clips = [Path(utterance.source) for utterance in whole.utterances[: check.clips]]
        loads: dict[str, list[Load]] = {old: [], new: []}
        for number in range(ROUNDS + 1):
            for address in (old, new):
                load = await self._load(address, clips, check.concurrency)
                if number:  # the first warms up
                    loads[address].append(load)
        parity = compare(check, loads[old], loads[new])
        self._parity[rollout.id] = parity
        kind = "preflight.passed" if parity.passed else "preflight.failed"
        event = Event(kind, rollout.id, parity.reason, "controller", self._now())
        await asyncio.to_thread(self._store.save, [event])

    async def _load(self, address: str, clips: list[Path], concurrency: int) -> Load:
        seconds: list[float] = []
        waiting = iter(clips)

        async def work() -> None:
            for clip in waiting:  # shared: each worker takes the next
                began = time.monotonic()
                await self._client.transcribe(address, clip, _TIMEOUT_SECONDS)
                seconds.append(time.monotonic() - began)

        began = time.monotonic()
        await run_workers(work, concurrency)
        return Load(tuple(seconds), time.monotonic() - began)


def _is_asked(rollout: Rollout) -> bool:
    """Whether its plan has it measured before its first step, and that has not begun."""
    return rollout.plan.load_check is not None and rollout.reached_percent == 0


def _seconds(began_at: datetime.datetime, ended_at: datetime.datetime) -> float:
    return (ended_at - began_at).total_seconds()


def _key(rollout: Rollout) -> str:
    return f"preflight:{rollout.id}"
