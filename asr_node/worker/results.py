"""What becomes of each utterance of a batch: an answer, an error, or another try."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from asr_node.errors import OptionRefused, RequestRefused
from asr_node.log import event
from asr_node.operations.metrics import Metrics
from asr_node.recognizer import Transcript
from asr_node.scheduler import Item, Scheduler
from asr_node.utterances import Span
from asr_node.worker.operations import Heard
from asr_node.worker.poison import ENOUGH, Poison


@dataclass(frozen=True, slots=True)
class Piece:
    """`seconds`: the utterance's share of its batch's."""

    transcript: Transcript
    seconds: float
    device: str


class Results:
    def __init__(self, scheduler: Scheduler, poison: Poison, metrics: Metrics) -> None:
        self._scheduler = scheduler
        self._poison = poison
        self._metrics = metrics

    def heard(self, batch: Sequence[Item], heard: Heard, device: str) -> None:
        for size in heard.batches:
            self._metrics.batch(size)
        total = sum(item.samples.size for item in batch) or 1
        for item, transcript in zip(batch, heard.transcripts, strict=True):
            seconds = heard.seconds * item.samples.size / total
            _answer(item, Piece(transcript, seconds, device))

    def speech(self, item: Item, spans: list[Span]) -> None:
        _answer(item, spans)

    def again(self, batch: Sequence[Item]) -> None:
        """Back into the line, to its old place."""
        for item in batch:
            if not item.result.done():
                self._scheduler.put(item)

    def failed(self, batch: Sequence[Item], error: str) -> None:
        """Who is alone gets the error; of several, each gets a try of its own."""
        if len(batch) > 1:
            self._each_alone(batch)
            return
        request = batch[0].request
        event("inference.failed", level=logging.ERROR, request_id=request.id, error=error)
        _refuse(
            batch[0],
            RequestRefused(
                "The model failed on this audio; the node goes on. See its log.",
                status=500,
                code="inference_failed",
            ),
        )

    def option_refused(self, batch: Sequence[Item], error: OptionRefused) -> None:
        """To all of them: a batch has the same options."""
        for item in batch:
            _refuse(
                item,
                RequestRefused(error.message, param=error.option, code="unsupported_parameter"),
            )

    def out_of_memory(self, batch: Sequence[Item], why: str) -> None:
        for item in batch:
            _refuse(
                item,
                RequestRefused(
                    f"This node's GPU has no memory left ({why}). Ask another node.",
                    status=503,
                    code="out_of_memory",
                    headers={"Retry-After": "1"},
                ),
            )

    async def worker_ended(self, batch: Sequence[Item], cause: str) -> None:
        """Nobody knows which of several ended it: each is tried alone, and who then ends a
        second worker is refused for good."""
        if len(batch) > 1:
            for item in batch:
                item.request.suspect = True
            self._each_alone(batch)
            return
        item = batch[0]
        deaths = await self._poison.blame(item.request.samples)
        if item.request.suspect:
            while deaths < ENOUGH:
                deaths = await self._poison.blame(item.request.samples)
        _refuse(item, audio_ends_worker() if deaths >= ENOUGH else _worker_ended(cause))

    def _each_alone(self, batch: Sequence[Item]) -> None:
        for item in batch:
            item.alone = True
        self.again(batch)


def audio_ends_worker() -> RequestRefused:
    return RequestRefused(
        "This audio has ended the model's process twice and is not tried again.",
        status=422,
        param="file",
        code="audio_ends_worker",
    )


def _worker_ended(cause: str) -> RequestRefused:
    return RequestRefused(
        f"The model's process ended while it worked on this request: {cause}. Retry once, best on "
        "another node.",
        status=503,
        code="worker_ended",
        headers={"Retry-After": "1"},
    )


def _answer(item: Item, value: Piece | list[Span]) -> None:
    if not item.result.done():  # else its caller has gone
        item.result.set_result(value)


def _refuse(item: Item, error: RequestRefused) -> None:
    if not item.result.done():
        item.result.set_exception(error)
