"""One node: what it serves, whether it can, and how much it is doing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from asr_node.digest import model_digest, version_digest
from asr_node.errors import LoadFailed, NotReady, RequestRefused
from asr_node.log import event
from asr_node.operations.metrics import Metrics
from asr_node.recognition import Priority, Recognition, Segment
from asr_node.recognizer import (
    SAMPLE_RATE,
    Capabilities,
    DecodeOptions,
    Engine,
    Recognizer,
    Samples,
)
from asr_node.settings import Settings
from asr_node.worker import Worker

READY: Final = "ready"
DRAINING: Final = "draining"


class Node:
    """Lives on the event loop; the model lives in the worker's thread."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.worker = Worker(settings.max_waiting)
        self.started_at = datetime.now(UTC)
        self.in_flight = 0
        self.metrics = Metrics()
        self.reason = "computing the model's digest"
        self.model_digests: Mapping[str, str] = {}
        self.digest: str | None = None
        self._recognizer: Recognizer | None = None
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
    def capabilities(self) -> Capabilities:
        """Raises NotReady before the first warm-up has ended."""
        return self._loaded().capabilities

    def _loaded(self) -> Recognizer:
        if self._recognizer is None:
            raise NotReady(self.state)
        return self._recognizer

    async def start(self) -> None:
        """Digest, load, warm up. On failure the reason stays readable and the error goes on."""
        began = time.monotonic()
        try:
            await self._load()
        except Exception as error:
            self.reason = f"failed: {error}"
            event("node.load_failed", level=logging.ERROR, reason=str(error))
            raise
        event("node.ready", seconds=round(time.monotonic() - began, 3), digest=self.digest)

    async def _load(self) -> None:
        folders = await self.worker.run(self.engine.resolve)
        self.model_digests = await self.worker.run(
            lambda: {role: model_digest(folder) for role, folder in folders.items()}
        )
        self.digest = version_digest(self.model_digests, self.settings.decode_options())
        self.reason = "loading the model"
        recognizer = await self.worker.run(lambda: self.engine.load(folders, self.settings.device))
        self._check_options(recognizer.capabilities)
        self.reason = "warming up"
        await self.worker.run(recognizer.warm_up)
        self._recognizer = recognizer
        self.reason = READY

    def _check_options(self, capabilities: Capabilities) -> None:
        settings = self.settings
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

    def drain(self) -> None:
        """Not ready from now on; what arrives meanwhile is still answered."""
        self._draining = True

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request as in flight, if there is a model and room for it.

        Raises NotReady or Busy."""
        self._loaded()
        self.worker.check_room()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

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
        recognizer = self._loaded()

        def job() -> Recognition:
            began = time.monotonic()
            heard = recognizer.transcribe([samples], options)[0]
            whole = Segment(0.0, samples.size / SAMPLE_RATE, heard.text, heard.words)
            return Recognition(
                text=heard.text,
                raw_text=heard.raw_text,
                language=heard.language,
                segments=(whole,) if heard.text else (),
                device=recognizer.device,
                seconds=time.monotonic() - began,
            )

        try:
            recognition = await self.worker.run(job)
        except RequestRefused:
            raise
        except Exception as error:
            event(
                "inference.failed",
                level=logging.ERROR,
                request_id=request_id,
                error=f"{type(error).__name__}: {error}",
            )
            raise RequestRefused(
                "The model failed on this audio; the node goes on. See its log.",
                status=500,
                code="inference_failed",
            ) from error
        if on_segment is not None:
            for segment in recognition.segments:
                on_segment(segment)
        self.metrics.recognized(samples.size / SAMPLE_RATE, recognition.seconds)
        return recognition

    def readiness(self) -> dict[str, object]:
        return {
            "ready": self.ready,
            "reason": self.state,
            "version": self.settings.version,
            "digest": self.digest,
            "in_flight": self.in_flight,
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
            "device": self._recognizer.device if self._recognizer else settings.device,
            "name": settings.name,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
        }
