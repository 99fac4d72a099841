"""Recordings longer than the model takes: cut at silences, joined in order, with true times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from asr_node.errors import RequestRefused
from asr_node.recognition import Priority
from asr_node.recognizer import SAMPLE_RATE, DecodeOptions
from tests.asr_node.node_fakes import tone

pytestmark = pytest.mark.timeout(240)

OPTIONS = DecodeOptions("zh", itn=False)
HEARD = "itn=False language=zh"


def recording(*pieces: tuple[float, float]) -> np.ndarray:
    """Speech (a tone) and silence by turns, in seconds."""
    parts = [
        part
        for speech, silence in pieces
        for part in (tone(speech), np.zeros(int(silence * SAMPLE_RATE), np.float32))
    ]
    return np.concatenate(parts)


async def test_thirty_seconds_are_not_cut(running) -> None:
    samples = recording((10, 5), (15, 0))
    heard = await running.node.recognize(samples, OPTIONS, "r")
    assert (heard.text, [(s.start, s.end) for s in heard.segments]) == (HEARD, [(0.0, 30.0)])


async def test_a_long_recording_becomes_segments_with_their_places_in_it(running) -> None:
    samples = recording((20, 2), (15, 1.5), (25, 40), (5, 3))
    segments = []
    heard = await running.node.recognize(samples, OPTIONS, "r", on_segment=segments.append)
    places = [(0, 20), (22, 37), (38.5, 63.5), (103.5, 108.5)]
    assert [(round(s.start, 1), round(s.end, 1)) for s in heard.segments] == places
    assert heard.segments == tuple(segments)
    assert heard.text == " ".join([HEARD] * 4)
    assert max(size for size, _ in running.engine.recognizer.heard) <= 30 * SAMPLE_RATE
    assert heard.device == "cpu"


async def test_an_hour_of_silence_needs_no_model(running) -> None:
    heard = await running.node.recognize(np.zeros(3600 * SAMPLE_RATE, np.float32), OPTIONS, "r")
    assert (heard.text, heard.segments, heard.device) == ("", (), "cpu")
    assert running.engine.recognizer.heard == []


async def test_a_long_recording_does_not_fill_the_line(running) -> None:
    """A short one that comes later is not behind all of it."""
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    recognize = running.node.recognize
    long = asyncio.create_task(recognize(recording(*[(12, 2)] * 40), OPTIONS, "long"))
    await running.until(recognizer.running.is_set)
    short = asyncio.create_task(recognize(tone(1.0), OPTIONS, "short"))
    await running.until(lambda: running.node.scheduler.requests == 2)
    recognizer.gate.set()
    await short
    assert not long.done()
    await long


async def test_who_leaves_takes_all_of_a_long_recording_along(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    samples = recording(*[(12, 2)] * 40)
    leaver = asyncio.create_task(running.node.recognize(samples, OPTIONS, "r", Priority.BATCH))
    await running.until(recognizer.running.is_set)
    leaver.cancel()
    await asyncio.wait({leaver})
    assert running.node.stats().queue_length == 0
    assert running.node.scheduler.requests == 0
    recognizer.gate.set()
    await running.node.recognize(tone(1.0), OPTIONS, "next")


async def test_an_error_in_the_middle_is_the_error_of_the_whole(start: Callable) -> None:
    async with start() as running:
        await running.until_ready()
        running.engine.recognizer.fault = RuntimeError("no")
        with pytest.raises(RequestRefused) as refused:
            await running.node.recognize(recording(*[(12, 2)] * 6), OPTIONS, "r")
        assert refused.value.code == "inference_failed"
        assert running.node.stats().queue_length == 0
