"""Measures, before its first step, whether a version is as fast as the one it is to replace."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from pathlib import Path

from controller.core.eval_set import EvalSet
from controller.core.preflight import Load, LoadCheck, Parity, compare
from controller.core.rollout import Phase, Rollout
from controller.engine.jobs import Jobs
from controller.engine.observer import Observer
from controller.engine.ports import NodeClient, Store
from controller.engine.records import Event

ROUNDS = 3
_TIMEOUT_SECONDS = 120.0


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

    def passed(self, rollout: Rollout) -> bool:
        """Whether nothing is left to be shown."""
        if rollout.plan.load_check is None or rollout.reached_percent > 0:
            return True
        parity = self._parity.get(rollout.id)
        return parity is not None and parity.passed

    def problem(self, rollout: Rollout) -> str | None:
        """What speaks against any traffic."""
        parity = self._parity.get(rollout.id)
        return None if parity is None or parity.passed else f"it is too slow: {parity.reason}"

    def converge(self, rollout: Rollout | None) -> None:
        """Begin to measure as soon as both versions have a node."""
        if rollout is None or rollout.plan.load_check is None or rollout.id in self._parity:
            return
        if rollout.phase is not Phase.PREPARING or rollout.reached_percent > 0:
            self._jobs.cancel(_key(rollout))
            return
        new = self._observer.addresses(rollout.version)
        old = self._observer.idle_addresses(rollout.from_version)
        if new and old:
            check = rollout.plan.load_check
            self._jobs.ensure(_key(rollout), lambda: self._measure(rollout, check, old[0], new[0]))

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
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(work())
        except ExceptionGroup as group:  # the first has cancelled the others
            raise group.exceptions[0] from group
        return Load(tuple(seconds), time.monotonic() - began)


def _key(rollout: Rollout) -> str:
    return f"preflight:{rollout.id}"
