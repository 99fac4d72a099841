"""From nothing to a worker whose model is loaded and warm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asr_node.errors import LoadFailed, NodeError
from asr_node.log import event
from asr_node.settings import Settings
from asr_node.worker.operations import Loaded
from asr_node.worker.process import WorkerProcess


@dataclass(slots=True)
class Running:
    """A worker that can serve."""

    process: WorkerProcess
    loaded: Loaded
    instead: NodeError | None = None  # why it is on the CPU though a GPU was asked for
    utterances: int = 0  # it has had

    async def load(self, device: str) -> None:
        """Raises LoadFailed or OutOfMemory: the model is as before, or gone; or WorkerEnded."""
        self.loaded = await self.process.call("load", device)
        await self.process.call("warm_up")
        event("worker.loaded", pid=self.process.pid, device=self.loaded.device)


@dataclass(slots=True)
class Launcher:
    settings: Settings
    digests: dict[str, str] = field(default_factory=dict)  # of the first worker; then the rule

    async def launch(
        self,
        device: str,
        progress: Callable[[str], Any],
        *,
        or_cpu_after: tuple[type[NodeError], ...] = (),
    ) -> Running:
        """`or_cpu_after`: what the device may fail with, for the CPU to take over, if --on-oom
        says so.

        Raises LoadFailed, ModelFailed, StartRefused, OutOfMemory or WorkerEnded: then no process
        is left."""
        try:
            return await self._start(device, progress)
        except or_cpu_after as error:
            if self.settings.on_oom != "cpu":
                raise
            instead = error
        running = await self._start("cpu", progress)
        running.instead = instead
        return running

    async def _start(self, device: str, progress: Callable[[str], Any]) -> Running:
        process = await WorkerProcess.start(self.settings)
        try:
            progress("computing the model's digest")
            self._check(await process.call("resolve"))
            running = await _warm(process, device, progress)
        except BaseException:
            await process.end()
            raise
        event("worker.ready", pid=process.pid, device=running.loaded.device)
        return running

    def _check(self, digests: dict[str, str]) -> None:
        """What is served must stay what the node has said that it is."""
        if self.digests and self.digests != digests:
            raise LoadFailed("the model's files have changed since this node started; start anew")
        self.digests.update(digests)


async def _warm(process: WorkerProcess, device: str, progress: Callable[[str], Any]) -> Running:
    progress("loading the model")
    loaded: Loaded = await process.call("load", device)
    progress("warming up")
    await process.call("warm_up")
    return Running(process, loaded)
