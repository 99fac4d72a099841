"""The workers of one node, as one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from asr_node.memory import DeviceMemory
from asr_node.operations.metrics import Metrics
from asr_node.recognizer import Capabilities
from asr_node.scheduler import Scheduler, not_ready
from asr_node.settings import Settings
from asr_node.worker.launch import Launcher
from asr_node.worker.poison import Poison
from asr_node.worker.results import Results
from asr_node.worker.slot import READY, Slot


@dataclass(frozen=True, slots=True)
class WorkerStats:
    pid: int | None  # None while there is no process
    device: str
    state: str
    utterances: int  # since it started
    gpu_memory: tuple[DeviceMemory, ...]


class Pool:
    def __init__(
        self, settings: Settings, scheduler: Scheduler, poison: Poison, metrics: Metrics
    ) -> None:
        self._scheduler = scheduler
        self._launcher = Launcher(settings)
        results = Results(scheduler, poison, metrics)
        self._slots = [
            Slot(settings, self._launcher, scheduler, results, self._check_stuck, self._hold)
            for _ in range(settings.workers)
        ]
        self._capabilities: Capabilities | None = None

    @property
    def state(self) -> str:
        """ "ready" while at least one worker takes work; else why not."""
        states = [slot.state for slot in self._slots]
        return READY if READY in states else states[0]

    @property
    def accepts(self) -> bool:
        """Whether new work may join the line."""
        return any(slot.ready or slot.held for slot in self._slots)

    @property
    def model_digests(self) -> dict[str, str]:
        return self._launcher.digests

    @property
    def capabilities(self) -> Capabilities | None:
        """None before the first worker is up; the same from then on."""
        running = self._slots[0].running
        if self._capabilities is None and running is not None:
            self._capabilities = running.loaded.capabilities
        return self._capabilities

    @property
    def device(self) -> str:
        """Where the model is; several are joined by a comma."""
        return ",".join(dict.fromkeys(_device(slot) for slot in self._slots))

    @property
    def degraded(self) -> str | None:
        return next((slot.degraded for slot in self._slots if slot.degraded), None)

    @property
    def restarts(self) -> int:
        return sum(slot.restarts for slot in self._slots)

    async def start(self) -> None:
        """Returns when the first worker is up; the others follow. Raises what it raises."""
        first, *others = self._slots
        await first.start()
        for slot in others:
            slot.start_later()

    async def close(self) -> None:
        await asyncio.gather(*(slot.close() for slot in self._slots))

    async def load(self, device: str | None) -> None:
        """On `device`, or each where it is. One after the other: the others serve meanwhile."""
        for slot in self._slots:
            await slot.load(device)

    async def unload(self) -> None:
        for slot in self._slots:
            await slot.unload()

    async def clear_cache(self) -> None:
        for slot in self._slots:
            await slot.clear_cache()

    def stats(self) -> tuple[WorkerStats, ...]:
        return tuple(
            WorkerStats(
                pid=slot.running.process.pid if slot.running else None,
                device=_device(slot),
                state=slot.state,
                utterances=slot.running.utterances if slot.running else 0,
                gpu_memory=slot.gpu_memory,
            )
            for slot in self._slots
        )

    def _check_stuck(self) -> None:
        """What waits for a worker that does not come up must not wait for ever."""
        if self.state != READY:
            self._scheduler.fail_all(not_ready(self.state))

    def _hold(self, state: str) -> None:
        """One is out of memory, and its operator is to say where all go on."""
        for slot in self._slots:
            slot.hold(state)


def _device(slot: Slot) -> str:
    return slot.running.loaded.device if slot.running else slot.device
