"""One node: what it serves, whether it can, and how much it is doing."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asr_node.digest import version_digest
from asr_node.errors import Busy, LoadFailed, NodeError, NotReady, RequestRefused
from asr_node.log import event
from asr_node.memory import DeviceMemory, together
from asr_node.operations.metrics import Metrics
from asr_node.recognition import Priority, Recognition, Segment
from asr_node.recognizer import SAMPLE_RATE, Capabilities, DecodeOptions, Samples
from asr_node.recognizers import make_engine
from asr_node.recognizing import Recognizing
from asr_node.scheduler import Operation, Request, Scheduler
from asr_node.settings import Settings
from asr_node.worker.poison import ENOUGH, Poison
from asr_node.worker.pool import Pool, WorkerStats
from asr_node.worker.results import audio_ends_worker
from asr_node.worker.slot import READY

DRAINING: Final = "draining"
RECEIVED_PER_WAITING: Final = 4


@dataclass(frozen=True, slots=True)
class Stats:
    workers: tuple[WorkerStats, ...]
    worker_restarts: int
    requests: int  # with the model: running and waiting
    queue_length: int  # utterances that wait

    @property
    def worker_pids(self) -> tuple[int, ...]:
        return tuple(worker.pid for worker in self.workers if worker.pid is not None)

    @property
    def gpu_memory(self) -> tuple[DeviceMemory, ...]:
        """Of each GPU that they hold memory of, as it was after the last batch."""
        return together(memory for worker in self.workers for memory in worker.gpu_memory)


class Node:
    """Lives on the event loop; the model lives in worker processes."""

    def __init__(self, settings: Settings) -> None:
        """Raises StartRefused where there is no such engine."""
        self.settings = settings
        self.engine = make_engine(settings)  # here only for its name
        self.started_at = datetime.now(UTC)
        self.in_flight = 0
        self.metrics = Metrics()
        self._digest: str | None = None
        self.scheduler = Scheduler(settings.max_waiting, lambda: self.in_flight)
        self._poison = Poison(settings.data_dir)
        self._pool = Pool(settings, self.scheduler, self._poison, self.metrics)
        self._failed: str | None = None
        self._checked = False
        self._draining = False

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def ready(self) -> bool:
        return self.state == READY

    @property
    def state(self) -> str:
        """In words; "ready" when it is."""
        return DRAINING if self._draining else self.reason

    @property
    def reason(self) -> str:
        """Of its workers, draining or not."""
        if self._failed is not None:
            return self._failed
        state = self._pool.state
        return "warming up" if state == READY and not self._checked else state

    @property
    def degraded(self) -> str | None:
        """Why it runs on a lesser device than it was asked to."""
        return self._pool.degraded

    @property
    def digest(self) -> str | None:
        """None until the model's files have been read."""
        if self._digest is None and self.model_digests:
            self._digest = version_digest(self.model_digests, self.settings.decode_options())
        return self._digest

    @property
    def model_digests(self) -> Mapping[str, str]:
        return self._pool.model_digests

    @property
    def capabilities(self) -> Capabilities:
        """Raises NotReady before the first warm-up has ended."""
        capabilities = self._pool.capabilities
        if capabilities is None or not self._checked:
            raise NotReady(self.state)
        return capabilities

    async def start(self) -> None:
        """Digest, load, warm up. On failure the reason stays readable and the error goes on."""
        began = time.monotonic()
        try:
            await self._pool.start()
            self._check_options()
        except Exception as error:
            self._failed = f"failed: {error}"
            event("node.load_failed", level=logging.ERROR, reason=str(error))
            await self._pool.close()
            raise
        event("node.ready", seconds=round(time.monotonic() - began, 3), digest=self.digest)

    async def close(self) -> None:
        """No process is left behind."""
        await self._pool.close()

    def _check_options(self) -> None:
        settings, capabilities = self.settings, self._pool.capabilities
        assert capabilities is not None
        if settings.language not in capabilities.languages:
            raise LoadFailed(
                f"this model cannot be told --language {settings.language}; it knows "
                f"{', '.join(sorted(capabilities.languages))}"
            )
        if settings.itn and not capabilities.itn:
            event(
                "option.not_honoured",
                level=logging.WARNING,
                option="itn",
                reason="this model writes numbers in one way only",
            )
        self._checked = True

    def drain(self) -> None:
        """Not ready from now on; what arrives meanwhile is still answered."""
        self._draining = True

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request as in flight, if there is a model and room for it.

        Those that are still being received have a bound of their own: each holds memory or
        disk. Raises NotReady or Busy."""
        self._check_accepts()
        self.scheduler.check_room()
        if self.in_flight >= RECEIVED_PER_WAITING * (self.settings.max_waiting + 1):
            raise Busy(self.in_flight)
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def _check_accepts(self) -> None:
        """While its operator is asked, work may wait; while a worker starts, another node is
        better."""
        self.capabilities  # noqa: B018 (raises NotReady)
        if not self._pool.accepts:
            raise NotReady(self.state)

    async def recognize(
        self,
        samples: Samples,
        options: DecodeOptions,
        request_id: str,
        priority: Priority = Priority.LIVE,
        on_segment: Callable[[Segment], None] | None = None,
    ) -> Recognition:
        """A whole recording of any length. Raises RequestRefused.

        `on_segment` hears of each segment, in order, as soon as it is final."""
        self._check_accepts()
        request = Request(request_id, samples, priority)
        with self.scheduler.entered(request):
            deaths = await self._poison.deaths(samples)
            if deaths >= ENOUGH:
                raise audio_ends_worker()
            request.suspect = deaths > 0
            self._check_accepts()  # again: what joins the line after the last worker waits for ever
            device = self._pool.device
            recognition = await Recognizing(
                self.scheduler, request, options, on_segment, device
            ).run()
        if priority is not Priority.PARTIAL:  # the same audio comes again
            self.metrics.recognized(samples.size / SAMPLE_RATE, recognition.seconds)
        return recognition

    async def speech(self, samples: Samples, request_id: str) -> list[tuple[int, int]]:
        """Where somebody speaks, in half a minute at most; for streams. Raises RequestRefused."""
        self._check_accepts()
        request = Request(request_id, samples, Priority.PARTIAL)
        options = DecodeOptions(self.settings.language, self.settings.itn)
        with self.scheduler.entered(request):
            spans: list[tuple[int, int]] = await self.scheduler.run(
                request, Operation.SPEECH, samples, options
            )
        return spans

    async def set_device(self, device: str) -> None:
        """Between two batches; what waits is kept. Raises RequestRefused: all is as before."""
        await self._changed(self._pool.load(device))

    async def reload(self) -> None:
        """The same model, on the device where it is. Raises RequestRefused."""
        await self._changed(self._pool.load(None))

    async def unload(self) -> None:
        """Give back the model's memory; not ready until `reload`. Raises RequestRefused."""
        await self._changed(self._pool.unload())

    async def clear_cache(self) -> None:
        """Give back what the device's allocator holds unused. Raises RequestRefused."""
        await self._changed(self._pool.clear_cache())

    async def _changed(self, change: Coroutine[Any, Any, None]) -> None:
        """To its end, also where the one who asked for it has gone."""
        self.capabilities  # noqa: B018 (raises NotReady before the start has ended)
        try:
            await asyncio.shield(asyncio.ensure_future(change))
        except RequestRefused:
            raise
        except NodeError as error:
            raise RequestRefused(
                f"That failed: {error}. State now: {self.state}.",
                status=503,
                code="change_failed",
            ) from error

    def stats(self) -> Stats:
        return Stats(
            workers=self._pool.stats(),
            worker_restarts=self._pool.restarts,
            requests=self.scheduler.requests,
            queue_length=self.scheduler.waiting,
        )

    def readiness(self) -> dict[str, object]:
        return {
            "ready": self.ready,
            "reason": self.state,
            "version": self.settings.version,
            "digest": self.digest,
            "in_flight": self.in_flight,
            "degraded": self.degraded,
        }

    def identity(self) -> dict[str, object]:
        settings = self.settings
        return {
            "version": settings.version,
            "digest": self.digest,
            "models": {
                role: {"source": source, "model_digest": self.model_digests.get(role)}
                for role, source in settings.sources().items()
            },
            "options": settings.decode_options(),
            "engine": self.engine.name,
            "streaming": "vad-segmented",  # no model of ours hears piece by piece
            "device": self._pool.device,
            "name": settings.name,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
        }
