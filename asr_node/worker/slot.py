"""A place for one worker: starts it, gives it batches, and puts another in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from asr_node.errors import (
    DeviceFailed,
    ModelFailed,
    NodeError,
    OptionRefused,
    OutOfMemory,
    WorkerEnded,
)
from asr_node.log import event
from asr_node.memory import DeviceMemory, resident_bytes
from asr_node.recognizer import SAMPLE_RATE, Samples
from asr_node.scheduler import Item, Operation, Scheduler
from asr_node.settings import Settings
from asr_node.worker.launch import Launcher, Running
from asr_node.worker.operations import Heard
from asr_node.worker.results import Results

READY: Final = "ready"
BACK_OFF_SECONDS: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # before each attempt to restart
RECYCLE_AGAIN_SECONDS: Final = 300.0  # after a successor that could not be started
# No model is so slow that it would not have answered by then: the worker hangs.
HANG_SECONDS: Final = 120.0
SLOWEST: Final = 20.0  # seconds for each second of audio
MEGABYTE: Final = 1024 * 1024


class Slot:
    """`state` is in words, "ready" while it takes work."""

    def __init__(
        self,
        settings: Settings,
        launcher: Launcher,
        scheduler: Scheduler,
        results: Results,
        on_stuck: Callable[[], None],
        on_held: Callable[[str], None],
    ) -> None:
        """`on_stuck` hears when nothing but its operator may help this slot on, `on_held` when
        work is held until its operator has chosen, in words."""
        self._settings = settings
        self._launcher = launcher
        self._scheduler = scheduler
        self._results = results
        self._on_stuck = on_stuck
        self._on_held = on_held
        self.state = "computing the model's digest"
        self.held = False  # not ready, but work may wait until it is
        self.device = settings.device  # as asked for
        self.degraded: str | None = None
        self.restarts = 0
        self.gpu_memory: tuple[DeviceMemory, ...] = ()  # after the last batch
        self.running: Running | None = None
        self._turn = asyncio.Lock()  # a batch, or a change of device, between two batches
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._recycling: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self.state == READY

    async def start(self) -> None:
        """The first worker. Raises LoadFailed, StartRefused, OutOfMemory or WorkerEnded."""
        launching = self._launcher.launch(self.device, self._become, or_cpu_after=(OutOfMemory,))
        self._take(await launching)
        self.start_later()

    def start_later(self) -> None:
        """In the background, again and again until a worker is up."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._recycling) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.running is not None:
            await self.running.process.end()

    async def load(self, device: str | None) -> None:
        """On `device`, or where it is. Between two batches; what waits goes on waiting.

        Raises LoadFailed or OutOfMemory, and the model stays as it was, or, where the device had
        no room for two, there is none and the slot is not ready; or WorkerEnded."""
        async with self._turn:
            if self.running is None:
                self.device = device or self.device  # the next attempt to start takes it
            else:
                await self._load(self.running, device or self.device)
                self._become(READY)
            if device is not None:  # chosen, so no longer a lesser one
                self.degraded = None
            self._changed.set()

    async def unload(self) -> None:
        async with self._turn:
            if self.running is not None:
                await self.running.process.call("unload")
                self.gpu_memory = ()
                self._become("the model was unloaded; POST /admin/reload loads it again")
                self._on_stuck()

    async def clear_cache(self) -> None:
        async with self._turn:
            if self.running is not None:
                await self.running.process.call("clear_cache")

    def hold(self, state: str) -> None:
        """From the end of its batch on, until `load`."""
        if self.ready:
            self._become(state, held=True)

    def _become(self, state: str, *, held: bool = False) -> None:
        self.state = state
        self.held = held
        self._changed.set()

    def _take(self, running: Running) -> None:
        self.running = running
        self.device = running.loaded.device  # "auto" chooses once: a GPU that goes is told
        if running.instead is not None:
            self._degrade(running.instead)
        self._become(READY)

    def _degrade(self, error: NodeError) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        what = "out of GPU memory" if isinstance(error, OutOfMemory) else "its GPU failed"
        self.device = "cpu"
        self.degraded = f"moved to the CPU: {what} at {at} ({error})"
        event("device.degraded", level=logging.ERROR, device="cpu", reason=str(error))

    async def _run(self) -> None:
        while True:
            try:
                if self.running is None:
                    await self._restart()
                else:
                    await self._turn_of(self.running)
            except Exception:  # a mistake of ours must not leave the node without a model
                logging.getLogger(__name__).exception("a turn failed")
                await asyncio.sleep(1.0)

    async def _turn_of(self, running: Running) -> None:
        """One batch, or whatever else comes first."""
        await self._until_something_happens(running)
        async with self._turn:
            if self.running is not running:
                return
            if running.process.exited.done():
                await running.process.end()
                self._ended(running, running.process.cause(), [])
            elif self.ready:
                await self._one_batch(running)
        if self.running is running and self._is_due(running):
            self._recycling = asyncio.create_task(self._recycle(running))

    async def _until_something_happens(self, running: Running) -> None:
        self._changed.clear()
        awaited: list[Awaitable[Any]] = [self._changed.wait()]
        awaited += [self._scheduler.wait()] if self.ready else []
        tasks = [asyncio.ensure_future(one) for one in awaited]
        self._scheduler.idle += self.ready
        was_ready = self.ready
        try:
            await asyncio.wait(
                [*tasks, running.process.exited], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._scheduler.idle -= was_ready
            for task in tasks:
                task.cancel()

    async def _one_batch(self, running: Running) -> None:
        await self._scheduler.gather()
        batch = self._scheduler.take()
        if not batch:
            return
        running.utterances += len(batch)
        try:
            await self._ask(running, batch)
        except (WorkerEnded, DeviceFailed) as error:
            await running.process.end()
            self._ended(running, str(error), batch)
            await self._results.worker_ended(batch, str(error))
        except OutOfMemory as error:
            await self._out_of_memory(running, batch, error)
        except OptionRefused as error:
            self._results.option_refused(batch, error)
        except ModelFailed as error:
            self._results.failed(batch, str(error))
        except BaseException:
            self._results.again(batch)
            raise

    async def _ask(self, running: Running, batch: Sequence[Item]) -> None:
        samples = [item.samples for item in batch]
        deadline = _deadline_seconds(samples)
        if batch[0].operation is Operation.SPEECH:
            spans = await running.process.call("speech", samples[0], deadline_seconds=deadline)
            self._results.speech(batch[0], spans)
            return
        heard: Heard = await running.process.call(
            "transcribe", samples, batch[0].options, deadline_seconds=deadline
        )
        self.gpu_memory = heard.gpu_memory
        self._results.heard(batch, heard, running.loaded.device)

    async def _out_of_memory(
        self, running: Running, batch: Sequence[Item], error: OutOfMemory
    ) -> None:
        """As --on-oom says; where the request is not refused, it goes back into the line."""
        policy, why = self._settings.on_oom, str(error)
        event("device.out_of_memory", level=logging.ERROR, reason=why, on_oom=policy)
        if policy == "fail":
            self._become(f"{why}; POST /admin/device or /admin/reload makes it serve again")
            self._results.out_of_memory(batch, why)
            self._on_stuck()
            return
        self._results.again(batch)
        if policy == "ask":
            hint = "all work is held until POST /admin/device says where to go on"
            self._become(f"{why}; {hint}", held=True)
            self._on_held(self.state)
            return
        try:
            await self._load(running, "cpu")
        except WorkerEnded as ended:
            self._ended(running, str(ended), [])
        except NodeError as other:
            self._become(f"{why}, and the CPU cannot take over: {other}")
            self._on_stuck()
            return
        self._degrade(error)
        if self.running is not None:
            self._become(READY)

    async def _load(self, running: Running, device: str) -> None:
        before, held = self.state, self.held
        self._become(f"loading the model on {device}", held=held)
        try:
            await running.load(device)
        except NodeError as error:
            self._become(before, held=held)
            if not isinstance(error, WorkerEnded):
                await self._check_loaded(running, error)
            raise
        self.device = running.loaded.device

    async def _check_loaded(self, running: Running, error: NodeError) -> None:
        """On the same device there may be no room for two: the old model went first."""
        if self.held or await running.process.call("is_loaded"):
            return
        self._become(f"no model is loaded: {error}; POST /admin/reload loads it again")
        self._on_stuck()

    def _ended(self, running: Running, cause: str, batch: Sequence[Item]) -> None:
        self.running = None
        self.gpu_memory = ()
        self._become(f"a worker is being restarted: {cause}")
        event(
            "worker.ended",
            level=logging.ERROR,
            pid=running.process.pid,
            status=running.process.status,
            cause=cause,
            request_ids=[item.request.id for item in batch],
        )

    async def _restart(self) -> None:
        cause = self.state
        for attempt in range(10**9):
            await self._pause(BACK_OFF_SECONDS[min(attempt, len(BACK_OFF_SECONDS) - 1)])
            try:
                self._take(
                    await self._launcher.launch(
                        self.device, _nobody, or_cpu_after=(OutOfMemory, DeviceFailed)
                    )
                )
                self.restarts += 1
                return
            except NodeError as error:
                self._become(f"{cause}; the next one failed: {error}")
                event("worker.start_failed", level=logging.ERROR, reason=str(error))
                self._on_stuck()

    async def _pause(self, seconds: float) -> None:
        """A change of device ends it."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _is_due(self, running: Running) -> bool:
        if self._recycling is not None and not self._recycling.done():
            return False
        if running.utterances == 0:
            return False
        after, limit = self._settings.recycle_after, self._settings.recycle_memory_mb
        if after and running.utterances >= after:
            return True
        return bool(limit) and resident_bytes(running.process.pid) > limit * MEGABYTE

    async def _recycle(self, running: Running) -> None:
        """The successor comes first, where there is memory for both: that costs no readiness."""
        event("worker.recycled", pid=running.process.pid, utterances=running.utterances)
        device = self.device
        try:
            successor = await self._successor(running, device)
        except NodeError as error:  # its files have changed, say: who serves, serves on
            event("worker.start_failed", level=logging.ERROR, reason=str(error))
            await asyncio.sleep(RECYCLE_AGAIN_SECONDS)
            return
        async with self._turn:
            if self.running is running and self.ready and self.device == device:
                if successor is None:
                    self.running = None
                    self._become("a worker is being replaced: --recycle-after, --recycle-memory-mb")
                else:
                    self._take(successor)
                successor = running
        if successor is not None:
            await successor.process.end()

    async def _successor(self, running: Running, device: str) -> Running | None:
        """None where there is no room for two. Raises what would keep any other from starting."""
        if psutil.virtual_memory().available < resident_bytes(running.process.pid):
            return None
        try:
            return await self._launcher.launch(device, _nobody)
        except (OutOfMemory, WorkerEnded) as error:
            event("worker.start_failed", level=logging.ERROR, reason=str(error))
            return None


def _deadline_seconds(batch: Sequence[Samples]) -> float:
    return HANG_SECONDS + SLOWEST * sum(samples.size for samples in batch) / SAMPLE_RATE


def _nobody(_: str) -> None:
    """The cause of a restart stays readable until it is over."""
