"""Listens to people as they speak."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from asr_node.errors import RequestRefused, StreamRefused
from asr_node.recognition import Priority, separator
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions, Samples
from asr_node.transcriber import Recording
from asr_node.websocket.agreement import Agreement
from asr_node.websocket.control import POLICY, Mode, Setup
from asr_node.websocket.conversation import Conversation
from asr_node.websocket.first_partial import FirstPartial
from asr_node.websocket.pcm import Pcm
from asr_node.websocket.utterances import MARGIN_SECONDS, PAUSE_SECONDS, Utterances

UNSURE_SAMPLES: Final = 5 * SAMPLE_RATE  # speech without a pause, or noise?
GROWTH: Final = 8  # of a long utterance, interim results come after each eighth more of it


class LiveEar:
    """Recognizes each utterance at the pause behind it, and meanwhile what there is of it.

    One decoding at a time: interim ones are made of what is there when the last has ended, at
    a lower priority than anybody's request, and are dropped when the utterance ends first.

    In noise no energy tells a pause; so a long utterance is first listened to by the model that
    finds speech, which is cheap, but not so cheap that it could hear every piece."""

    def __init__(self, talk: Conversation, setup: Setup, options: DecodeOptions) -> None:
        self.failure: RequestRefused | None = None
        self._talk = talk
        self._setup = setup
        self._options = options
        self._pcm = Pcm(setup.audio_fs)
        self._utterances = Utterances()
        self._agreement = Agreement()
        self._interim: asyncio.Task[None] | None = None
        self._interim_due = 0.0  # seconds of the utterance
        self._pause: float | None = None  # likewise; negative: nobody spoke
        self._heard_seconds = 0.0
        self._said = ""
        self._first = FirstPartial()

    def adopt(self, setup: Setup, options: DecodeOptions) -> None:
        self._setup, self._options = setup, options

    @property
    def busy(self) -> bool:
        return self._utterances.speaking

    async def hear(self, data: bytes) -> None:
        for samples in self._pcm.samples(data):
            self._heard_seconds += samples.size / SAMPLE_RATE
            await self._hear(samples)
            await asyncio.sleep(0)  # others' turn, within a long message
        limit = self._talk.transcriber.node.settings.max_duration_seconds
        if self._heard_seconds > limit:
            await self.finish()
            raise StreamRefused(f"The stream is longer than {limit:g} seconds.", POLICY)

    async def finish(self) -> None:
        await self._hear(self._pcm.rest())
        last = self._utterances.end()
        await self._drop_interim()
        if last is not None:
            await self._finished(*last, is_final=True)
        else:
            await self._talk.say(self._talk.results.final(self._setup, "", is_final=True))

    async def close(self) -> None:
        await self._drop_interim()

    async def _hear(self, samples: Samples) -> None:
        arrived = time.monotonic()
        ended = self._utterances.hear(samples)
        if ended or self.busy:
            self._first.spoken(arrived)
        for start, utterance in ended:
            await self._drop_interim()
            await self._finished(start, utterance, is_final=False)
        if self._pause is not None:
            await self._end_at_pause(self._pause)
        self._begin_interim()

    async def _end_at_pause(self, pause: float) -> None:
        await self._drop_interim()
        if pause < 0:
            self._utterances.forget()
            self._first.not_spoken()
            self._agreement, self._interim_due = Agreement(), 0.0
        elif (ended := self._utterances.end_at(pause)) is not None:
            await self._finished(*ended, is_final=False)

    async def _finished(self, start: float, utterance: Samples, *, is_final: bool) -> None:
        talk, setup, request_id = self._talk, self._setup, self._talk.next_id()
        recording = Recording(
            utterance,
            setup.wav_name,
            self._options,
            setup.parameters,
            self._first.to_record(),
        )
        try:
            heard = await talk.recognize(recording, request_id)
        except RequestRefused as error:
            self.failure = self.failure or error
            await talk.say(talk.results.failure(setup, error, is_final=is_final))
            return
        finally:
            agreement, self._agreement, self._interim_due = self._agreement, Agreement(), 0.0
        text = self._said_last(heard.text, agreement)
        if text or is_final:
            await talk.say(
                talk.results.final(
                    setup,
                    text,
                    is_final=is_final,
                    segments=heard.segments,
                    offset=start,
                    request_id=request_id,
                )
            )
        if text:
            self._measure()
        else:
            self._first.not_spoken()

    def _said_last(self, text: str, agreement: Agreement) -> str:
        """Online, the end of the text; with a second pass, the whole. Clients put one text after
        the other, so the space between two English ones comes from here."""
        new = agreement.rest(text) if self._setup.mode is Mode.ONLINE else text
        if new == text:
            new = separator(self._said, new) + new
        self._said = text or self._said
        return new

    def _begin_interim(self) -> None:
        seconds = self._utterances.seconds
        waiting = self._interim is not None and not self._interim.done()
        if waiting or seconds < max(self._interim_due, self._setup.chunk_ms / 1000):
            return
        self._interim_due = seconds + max(self._setup.chunk_ms / 1000, seconds / GROWTH)
        self._interim = asyncio.create_task(self._tell(self._utterances.so_far()))

    async def _tell(self, samples: Samples) -> None:
        talk, node = self._talk, self._talk.transcriber.node
        try:
            if samples.size > UNSURE_SAMPLES:
                spans = await node.speech(samples, talk.interim_id)
                self._pause = last_pause(spans, samples.size)
                if self._pause is not None:
                    return
            plain = replace(self._options, timestamps=False)
            heard = await node.recognize(samples, plain, talk.interim_id, Priority.PARTIAL)
        except RequestRefused:  # the next one, or the final one, will do
            return
        first = self._agreement.silent
        if new := self._agreement.hear(heard.text):
            between = separator(self._said, new) if first else ""
            await talk.say(talk.results.interim(self._setup, between + new))
            self._measure()

    def _measure(self) -> None:
        """Text was sent."""
        seconds = self._first.told()
        if seconds is not None:
            self._talk.transcriber.node.metrics.first_partial(seconds)

    async def _drop_interim(self) -> None:
        if self._interim is None:
            return
        self._interim.cancel()
        await asyncio.wait({self._interim})
        if not self._interim.cancelled():
            self._interim.exception()  # seen: the client has gone, as the next message will tell
        self._interim = self._pause = None


def last_pause(spans: Sequence[tuple[int, int]], size: int) -> float | None:
    """Where to end an utterance of `size` samples after whose last speech there is a pause, in
    seconds; negative where nobody speaks, None where somebody still does."""
    if not spans:
        return -1.0
    quiet = (size - spans[-1][1]) / SAMPLE_RATE
    return spans[-1][1] / SAMPLE_RATE + MARGIN_SECONDS if quiet >= PAUSE_SECONDS else None
