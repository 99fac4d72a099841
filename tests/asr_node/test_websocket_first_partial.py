"""How long somebody who speaks waits for the first words, measured on the real protocol."""

from __future__ import annotations

import asyncio
import time

import pytest

from asr_node.websocket.first_partial import FirstPartial
from tests.asr_node.conftest import Running
from tests.asr_node.test_node_metrics import scraped
from tests.asr_node.test_websocket import END, FILE, client, pcm, repeat, rows, silence

pytestmark = pytest.mark.timeout(60)
COUNT, SUM = ("asr_node_first_partial_seconds_count",), ("asr_node_first_partial_seconds_sum",)


async def test_the_first_words_of_a_stream_are_measured_once(running: Running) -> None:
    async with client(running) as talk:
        began = time.monotonic()
        await talk.say({"mode": "2pass", "chunk_size": [5, 10, 5]})
        pieces = asyncio.create_task(repeat(talk, pcm(0.2)))
        assert (await talk.hear())["mode"] == "2pass-online"
        waited = time.monotonic() - began
        await talk.hear()
        pieces.cancel()
        await talk.say(END)
        await talk.until_final()
    found = await scraped(running)
    assert found[COUNT] == 1
    assert 0 < found[SUM] <= waited


async def test_the_row_of_the_utterance_that_had_them_tells_it(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass", "chunk_size": [5, 10, 5]})
        pieces = asyncio.create_task(repeat(talk, pcm(0.2)))
        await talk.hear()
        pieces.cancel()
        await talk.say(silence(2.0), pcm(1.0), END)
        await talk.until_final()
    first, second = await rows(running)
    assert first["first_partial_seconds"] == pytest.approx((await scraped(running))[SUM])
    assert second["first_partial_seconds"] is None


async def test_words_that_come_with_the_end_of_a_short_utterance_count(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "online", "chunk_size": [50, 100, 50]}, pcm(0.5), END)
        await talk.until_final()
    assert (await scraped(running))[COUNT] == 1


@pytest.mark.parametrize("said", [(FILE, pcm(0.5), END), ({"mode": "2pass"}, silence(2.0), END)])
async def test_a_file_and_a_quiet_room_wait_for_nothing(
    running: Running, said: tuple[object, ...]
) -> None:
    async with client(running) as talk:
        await talk.say(*said)
        await talk.until_final()
    assert (await scraped(running))[COUNT] == 0


def test_noise_that_was_taken_for_speech_does_not_begin_the_wait() -> None:
    first, now = FirstPartial(), time.monotonic()
    first.spoken(now - 600)
    first.not_spoken()
    first.spoken(now - 3)
    first.spoken(now)  # who speaks already
    seconds = first.told()
    assert seconds is not None
    assert 3 <= seconds < 600
    assert first.told() is None
    assert (first.to_record(), first.to_record()) == (seconds, None)
