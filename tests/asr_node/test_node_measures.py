"""What a router can log of an answer without reading it."""

from __future__ import annotations

import httpx

from asr_node.protocols.answers import measures
from asr_node.recognition import Recognition
from asr_node.transcriber import Transcribed
from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
MEASURES = ("X-ASR-Audio-Seconds", "X-ASR-Model-Seconds", "X-ASR-Characters")


async def post(running, request_id: str = "call-7", **fields: str) -> httpx.Response:
    answer = await running.client.post(
        PATH,
        files={"file": ("clip.wav", encoded(tone(1.25)))},
        data=fields,
        headers={"X-Request-ID": request_id},
    )
    assert answer.status_code == 200, answer.text
    return answer


async def test_an_answer_says_how_long_recording_model_and_text_were(running) -> None:
    for form in ("json", "text", "srt", "vtt", "verbose_json"):
        answer = await post(running, form, response_format=form)
        audio, model, characters = (answer.headers[name] for name in MEASURES)
        assert audio == "1.250"
        assert 0 <= float(model) < 10
        assert int(characters) == len("itn=True language=auto")


async def test_work_that_was_not_done_again_is_not_measured_again(running) -> None:
    await post(running)
    again = await post(running)
    assert "X-ASR-Replayed" in again.headers
    assert not any(name in again.headers for name in MEASURES)


async def test_a_stream_has_begun_before_anything_is_known(running) -> None:
    streamed = await post(running, stream="true")
    assert not any(name in streamed.headers for name in MEASURES)


def test_a_text_of_spaces_is_an_empty_answer() -> None:
    done = Transcribed("id", Recognition(" \n", " \n", "zh", (), "cpu", 0.1234), 2.0)
    assert list(measures(done).values()) == ["2.000", "0.123", "0"]
