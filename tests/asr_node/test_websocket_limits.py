"""How many streams there may be, how long they may say nothing, and how they end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.asr_node.conftest import Running
from tests.asr_node.test_websocket import END, FILE, TEXT, Client, client, pcm, silence

pytestmark = pytest.mark.timeout(120)

Start = Callable[..., Any]


async def close_code(talk: Client) -> int:
    _, closed = await talk.until_closed()
    assert closed.rcvd is not None
    assert closed.rcvd.reason
    return closed.rcvd.code


async def test_more_streams_than_the_limit_are_told_to_come_later(start: Start) -> None:
    async with start(max_streams=1) as running:
        await running.until_ready()
        async with client(running) as first, client(running) as second:
            assert await close_code(second) == 1013
            await first.say(FILE, pcm(0.5), END)
            assert (await first.hear())["text"] == TEXT
        await running.until(lambda: not running.server.streams)
        async with client(running) as third:
            await third.say(FILE, pcm(0.5), END)
            assert (await third.hear())["text"] == TEXT


async def test_a_router_is_told_so_before_the_handshake(start: Start) -> None:
    """So that it asks another node."""
    async with start(max_streams=1) as running:
        await running.until_ready()
        async with client(running):
            with pytest.raises(InvalidStatus) as refused:
                async with client(running, additional_headers={"X-Forwarded-For": "10.0.0.1"}):
                    pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["X-ASR-Node"] == "n1"


async def test_a_node_that_still_loads_says_come_later(start: Start, engine: Any) -> None:
    engine.loading.clear()
    async with start() as running, client(running) as talk:
        assert await close_code(talk) == 1013


async def test_who_says_nothing_is_cut_off(start: Start) -> None:
    async with start(idle_timeout_seconds=0.3) as running:
        await running.until_ready()
        async with client(running) as talk:
            assert await close_code(talk) == 1008


async def test_speech_before_a_long_silence_on_the_line_is_not_lost(start: Start) -> None:
    async with start(idle_timeout_seconds=0.5) as running:
        await running.until_ready()
        async with client(running) as talk:
            await talk.say({"mode": "2pass"}, pcm(0.5))
            heard, closed = await talk.until_closed()
    assert TEXT in [message["text"] for message in heard]
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1008


async def test_a_file_above_the_limit_closes_the_stream(start: Start) -> None:
    async with start(max_body_bytes=50_000) as running:
        await running.until_ready()
        async with client(running) as talk:
            await talk.say(FILE, pcm(2.0))
            assert await close_code(talk) == 1009


async def sent_and_answered(talk: Client, message: bytes) -> None:
    await talk.say(FILE, message)
    await talk.hear()


async def test_a_message_above_the_limit_closes_the_stream(running: Running) -> None:
    async with client(running) as talk:
        with pytest.raises(ConnectionClosed) as closed:
            await sent_and_answered(talk, bytes(17 * 1024 * 1024))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_stream_above_the_longest_duration_ends_with_its_result(start: Start) -> None:
    async with start(max_duration_seconds=2.0) as running:
        await running.until_ready()
        async with client(running) as talk:
            await talk.say({"mode": "2pass"}, pcm(3.0))
            heard, closed = await talk.until_closed()
    assert TEXT in [message["text"] for message in heard]
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1008


async def test_a_stopping_node_lets_a_stream_finish_its_utterance(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, pcm(1.0))
        await running.until(lambda: bool(running.engine.recognizer.heard))  # it listens
        running.server.handle_exit(15, None)
        await asyncio.sleep(0.3)  # the node looks every 0.1 s
        await talk.say(pcm(1.0), silence(1.0))
        heard, closed = await talk.until_closed()
        finals = [message for message in heard if message["mode"] == "2pass-offline"]
        assert finals[0]["text"] == TEXT
        assert closed.rcvd is not None
        assert closed.rcvd.code == 1012


async def test_a_stopping_node_closes_a_silent_stream_at_once(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, silence(1.0))
        running.server.handle_exit(15, None)
        assert await close_code(talk) == 1012


async def test_speech_that_goes_on_is_cut_before_the_grace_period_ends(start: Start) -> None:
    async with start(grace_seconds=4) as running:
        await running.until_ready()
        async with client(running) as talk:
            await talk.say({"mode": "2pass"}, pcm(1.0))
            await running.until(lambda: bool(running.engine.recognizer.heard))
            running.server.handle_exit(15, None)
            heard, closed = await talk.until_closed()
    assert TEXT in [m["text"] for m in heard if m["mode"] == "2pass-offline"]
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1012


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, pcm(1.0))
    await running.until(lambda: not running.server.streams)
    async with client(running) as talk:
        await talk.say(FILE, pcm(0.5), END)
        assert (await talk.hear())["text"] == TEXT
    assert running.node.in_flight == 0


async def test_interim_results_wait_for_everybodys_requests(running: Running) -> None:
    """The model is busy; a stream asks for interim text, then a file comes: the file is first."""
    gate = running.engine.recognizer.gate
    gate.clear()
    async with client(running) as busy, client(running) as live, client(running) as late:
        await busy.say(FILE, pcm(0.4), END)
        await running.until(running.engine.recognizer.running.is_set)
        await live.say({"mode": "2pass"}, pcm(1.0))
        await running.until(lambda: running.node.scheduler.requests == 2)
        await late.say(FILE, pcm(0.6), END)
        await running.until(lambda: running.node.scheduler.requests == 3)
        gate.set()
        await late.hear()
        await running.until(lambda: len(running.engine.recognizer.heard) == 3)
    sizes = [size for size, _ in running.engine.recognizer.heard]
    assert sizes == [6_400, 9_600, 16_000]


async def test_audio_that_ends_workers_ends_no_stream(running: Running) -> None:
    running.engine.recognizer.deadly = {4_800: signal.SIGKILL}
    async with client(running) as talk:
        await talk.say(FILE, pcm(0.3), END)
        answer = await talk.hear()
        assert answer["error"]["code"] == "audio_ends_worker"
        await talk.say(FILE, pcm(0.5), END)
        assert (await talk.hear())["text"] == TEXT
