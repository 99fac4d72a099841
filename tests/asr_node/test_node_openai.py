"""OpenAI's own client, unmodified, against the node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

import httpx
import numpy as np
import openai
import pytest

from asr_node.errors import RequestRefused
from asr_node.protocols.event_stream import EventStream, Progress
from asr_node.recognition import Segment
from asr_node.recognizer import SAMPLE_RATE, Capabilities
from tests.asr_node.node_fakes import FakeEngine, encoded, tone

CLIP = encoded(tone(1.0))
FILE = ("clip.wav", CLIP)
SAID = "itn=True language=auto"
ABLE = Capabilities(frozenset({"auto", "zh"}), itn=True, hotwords=True, timestamps=True)


@pytest.fixture
async def able(start: Callable, engine: FakeEngine) -> AsyncIterator:
    """A node whose model takes hotwords and gives times of words."""
    engine.recognizer.capabilities = ABLE
    async with start() as running:
        await running.until_ready()
        yield running


@pytest.fixture
async def client(able) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{able.url}/v1", api_key="none", max_retries=0
    ) as opened:
        yield opened


async def test_subtitles(client: openai.AsyncOpenAI) -> None:
    create = client.audio.transcriptions.create
    srt = await create(model="whisper-1", file=FILE, response_format="srt")
    assert srt == f"1\n00:00:00,000 --> 00:00:01,000\n{SAID}\n"
    vtt = await create(model="whisper-1", file=FILE, response_format="vtt")
    assert vtt == f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{SAID}\n"


async def test_verbose_json_has_segments(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(
        model="whisper-1", file=FILE, response_format="verbose_json"
    )
    assert (answer.text, answer.language, answer.duration) == (SAID, "zh", 1.0)
    (segment,) = answer.segments or []
    assert (segment.id, segment.start, segment.end, segment.text) == (0, 0.0, 1.0, SAID)
    assert answer.words is None
    assert answer.usage is not None
    assert answer.usage.seconds == 1.0


async def test_words_come_where_they_are_asked_for(client: openai.AsyncOpenAI) -> None:
    create = client.audio.transcriptions.create
    words = await create(
        model="v1", file=FILE, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert [(word.word, word.start, word.end) for word in words.words or []] == [
        ("itn=True", 0.0, 0.1),
        ("language=auto", 0.1, 0.2),
    ]
    assert words.segments is None
    both = await create(
        model="v1",
        file=FILE,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert both.words
    assert both.segments


async def test_times_of_words_need_verbose_json(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        await client.audio.transcriptions.create(
            model="v1", file=FILE, timestamp_granularities=["word"]
        )
    assert error.value.param == "timestamp_granularities"
    assert "verbose_json" in str(error.value)


async def test_a_prompt_holds_hotwords(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(
        model="v1",
        file=FILE,
        prompt="阿里巴巴 通义，Open Sesame\n张三",
        extra_body={"hotwords": "张三,李四"},
    )
    assert answer.text == f"{SAID} hotwords=阿里巴巴|通义|Open Sesame|张三|李四"


async def test_a_model_without_hotwords_names_the_field(running) -> None:
    files = {"file": FILE}
    answer = await running.client.post(
        "/v1/audio/transcriptions", files=files, data={"hotwords": "张三"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "hotwords"


async def test_a_versions_own_hotwords_hold_where_a_request_names_none(
    start: Callable, engine: FakeEngine
) -> None:
    engine.recognizer.capabilities = ABLE
    async with start(hotwords=("王五",)) as running:
        await running.until_ready()
        post = running.client.post
        answer = await post("/v1/audio/transcriptions", files={"file": FILE})
        assert answer.json()["text"].endswith("hotwords=王五")
        data = {"hotwords": "李四"}
        answer = await post("/v1/audio/transcriptions", files={"file": FILE}, data=data)
        assert answer.json()["text"].endswith("hotwords=李四")


async def test_a_stream_of_events(client: openai.AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(model="v1", file=FILE, stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert (events[0].delta, events[1].text) == (SAID, SAID)


async def test_the_synchronous_client_streams_too(able) -> None:
    def events() -> list[str]:
        with openai.OpenAI(base_url=f"{able.url}/v1", api_key="none", max_retries=0) as client:
            create = client.audio.transcriptions.create
            assert create(model="v1", file=FILE).text == SAID
            with create(model="v1", file=FILE, stream=True) as stream:
                return [event.type for event in stream]

    assert await asyncio.to_thread(events) == ["transcript.text.delta", "transcript.text.done"]


async def test_each_stretch_of_speech_is_an_event(client: openai.AsyncOpenAI) -> None:
    """Long audio is cut at its silences; what came as deltas is what the end says."""
    speech, silence = tone(20.0), np.zeros(2 * SAMPLE_RATE, np.float32)
    file = ("long.wav", encoded(np.concatenate([speech, silence, speech, silence, speech])))
    stream = await client.audio.transcriptions.create(model="v1", file=file, stream=True)
    *deltas, done = [event async for event in stream]
    assert [delta.delta for delta in deltas] == [SAID, f" {SAID}", f" {SAID}"]
    assert done.text == "".join(delta.delta for delta in deltas)
    answer = await client.audio.transcriptions.create(
        model="v1", file=file, response_format="verbose_json"
    )
    assert [segment.id for segment in answer.segments or []] == [0, 1, 2]
    assert answer.segments[1].start == pytest.approx(22.0, abs=1.0)  # type: ignore[index]


async def test_an_event_leaves_before_the_next_segment_is_known() -> None:
    progress, result = Progress(), asyncio.get_running_loop().create_future()
    sent: asyncio.Queue[dict] = asyncio.Queue()
    leaving = asyncio.Event()

    async def receive() -> dict[str, str]:
        await leaving.wait()
        return {"type": "http.disconnect"}

    stream = EventStream(progress, result, ExitStack(), {})
    sending = asyncio.create_task(stream({"type": "http"}, receive, sent.put))
    assert (await sent.get())["type"] == "http.response.start"
    progress.add(Segment(0.0, 1.0, "你好"))
    assert b'"delta":"\xe4\xbd\xa0' in (await sent.get())["body"]
    assert not sending.done()
    result.set_exception(RequestRefused("The worker ended.", status=503, code="not_ready"))
    progress.end()
    assert b'"code":"not_ready"' in (await sent.get())["body"]
    await sending


async def test_a_stream_that_cannot_begin_is_an_error_and_no_stream(
    client: openai.AsyncOpenAI,
) -> None:
    create = client.audio.transcriptions.create
    with pytest.raises(openai.BadRequestError) as error:
        await create(model="v1", file=("a.wav", b"no audio" * 99), stream=True)
    assert error.value.param == "file"
    with pytest.raises(openai.BadRequestError) as error:
        await create(model="v1", file=FILE, stream=True, response_format="srt")
    assert error.value.param == "stream"


async def test_who_leaves_a_stream_leaves_no_work_behind(able) -> None:
    recognizer = able.engine.recognizer
    recognizer.gate.clear()
    async with httpx.AsyncClient(base_url=able.url) as leaver:
        asking = asyncio.create_task(
            leaver.post("/v1/audio/transcriptions", files={"file": FILE}, data={"stream": "true"})
        )
        await able.until(recognizer.running.is_set)
        asking.cancel()
    await able.until(lambda: able.node.in_flight == 0)
    recognizer.gate.set()


async def test_models_by_name(client: openai.AsyncOpenAI) -> None:
    assert (await client.models.retrieve("v1")).id == "v1"
    assert (await client.models.retrieve("whisper-1")).owned_by == "asr-node"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-4o")


async def test_every_answer_carries_version_digest_and_id(able) -> None:
    answer = await able.client.post(
        "/v1/audio/transcriptions",
        files={"file": FILE},
        data={"response_format": "verbose_json"},
        headers={"X-Request-ID": "call-7"},
    )
    assert answer.headers["x-asr-digest"] == able.node.digest
    assert re.fullmatch("[0-9a-f]{64}", able.node.digest)
    assert answer.json()["asr"] == {
        "version": "v1",
        "digest": able.node.digest,
        "node": "n1",
        "request_id": "call-7",
    }


async def test_the_interface_describes_itself(able) -> None:
    answer = (await able.client.get("/openapi.json")).json()
    operations = [operation for path in answer["paths"].values() for operation in path.values()]
    assert "/v1/audio/transcriptions" in answer["paths"]
    assert all(operation["summary"] for operation in operations)
    assert (await able.client.get("/docs")).status_code == 404  # its scripts come from a CDN
