"""FunASR's protocol as a client meets it: through a real socket, with a fake engine behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.asr_node.conftest import Running
from tests.asr_node.node_fakes import encoded, tone

pytestmark = pytest.mark.timeout(60)

TEXT = "itn=True language=auto"  # what the fake engine hears
END = {"is_speaking": False}
FILE = {"mode": "offline", "wav_name": "a.wav", "is_speaking": True}


def pcm(seconds: float, rate: int = 16_000) -> bytes:
    return (tone(seconds, rate) * 32_767).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return np.zeros(int(seconds * 16_000), dtype="<i2").tobytes()


class Client:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, *messages: object) -> None:
        for message in messages:
            said = message if isinstance(message, bytes | str) else json.dumps(message)
            await self.connection.send(said)

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def until_final(self) -> list[dict[str, Any]]:
        heard = [await self.hear()]
        while not heard[-1]["is_final"]:
            heard.append(await self.hear())
        return heard

    async def until_closed(self) -> tuple[list[dict[str, Any]], ConnectionClosed]:
        heard = []
        while True:
            try:
                heard.append(await self.hear())
            except ConnectionClosed as closed:
                return heard, closed


@asynccontextmanager
async def client(node: Running, path: str = "/", **options: Any) -> AsyncIterator[Client]:
    url = f"ws://127.0.0.1:{node.port}{path}"
    async with connect(url, subprotocols=["binary"], **options) as connection:  # type: ignore[list-item]
        yield Client(connection)


async def rows(node: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await node.client.get("/v1/history")).json()["entries"]
    return found


async def refusal(node: Running, *messages: object) -> tuple[str, int]:
    """Why the node closed: the parameter that it named, and the close code."""
    async with client(node) as talk:
        await talk.say(*messages)
        heard, closed = await talk.until_closed()
    assert closed.rcvd is not None
    assert heard[-1]["error"]["message"]
    assert heard[-1]["is_final"] is True  # or clients would wait for more
    return heard[-1]["error"]["param"], closed.rcvd.code


async def test_a_file_is_one_result(running: Running) -> None:
    async with client(running) as talk:
        await talk.say(FILE, pcm(1.0), pcm(0.5), END)
        answer = await talk.hear()
    assert (answer["mode"], answer["wav_name"], answer["is_final"]) == ("offline", "a.wav", True)
    assert answer["text"] == TEXT


async def test_every_result_says_who_made_it(running: Running) -> None:
    headers = {"X-Request-ID": "stream-7"}
    async with client(running, additional_headers=headers) as talk:
        response = talk.connection.response
        await talk.say(FILE, pcm(0.5), END)
        answer = await talk.hear()
    assert response is not None
    assert response.headers["X-ASR-Version"] == answer["version"] == "v1"
    assert response.headers["X-ASR-Digest"] == answer["digest"] == running.node.digest
    assert response.headers["X-Request-ID"] == "stream-7"
    assert answer["request_id"] == "stream-7-1"


async def test_every_final_result_is_in_the_history(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass", "wav_name": "call"})
        await talk.say(pcm(1.0), silence(2.0), pcm(1.0), END)
        heard = await talk.until_final()
    finals = [message for message in heard if message["mode"] == "2pass-offline"]
    written = await rows(running)
    assert [row["request_id"] for row in written] == [final["request_id"] for final in finals]
    assert [row["filename"] for row in written] == ["call", "call"]
    assert [row["itn_text"] for row in written] == [TEXT, TEXT]


async def test_the_subprotocol_of_funasrs_clients_is_accepted(running: Running) -> None:
    async with client(running) as talk:
        assert talk.connection.subprotocol == "binary"


async def test_a_client_without_a_subprotocol_is_welcome(running: Running) -> None:
    async with connect(f"ws://127.0.0.1:{running.port}/ws") as connection:
        assert connection.subprotocol is None


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_a_stream_without_a_first_message_has_funasrs_defaults(
    running: Running, path: str
) -> None:
    async with client(running, path) as talk:
        await talk.say(pcm(1.0), END)
        answer = (await talk.until_final())[-1]
    assert (answer["mode"], answer["wav_name"]) == ("2pass-offline", "microphone")
    assert answer["text"] == TEXT


async def test_a_pause_ends_an_utterance(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, pcm(1.0), silence(1.0))
        answer = await talk.hear()
        while answer["mode"] != "2pass-offline":
            answer = await talk.hear()
    assert answer["text"] == TEXT
    assert answer["is_final"] is False  # more may follow


async def test_interim_results_come_while_somebody_speaks(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass", "chunk_size": [5, 10, 5]})
        pieces = asyncio.create_task(repeat(talk, pcm(0.2)))
        answer = await talk.hear()
        pieces.cancel()
    assert (answer["mode"], answer["text"], answer["is_final"]) == ("2pass-online", TEXT, False)


async def test_in_noise_the_model_that_finds_speech_finds_the_pause(running: Running) -> None:
    noise = (np.resize([300, -300], 16_000)).astype("<i2").tobytes()  # as loud as quiet speech
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, pcm(3.0))
        noises = asyncio.create_task(repeat(talk, noise))
        answer = await talk.hear()
        while answer["mode"] != "2pass-offline":
            answer = await talk.hear()
        noises.cancel()
    assert answer["is_final"] is False
    assert (await rows(running))[0]["duration_seconds"] == pytest.approx(3.3, abs=0.1)


async def repeat(talk: Client, piece: bytes) -> None:
    """Until cancelled, faster than life."""
    while True:
        await talk.say(piece)
        await asyncio.sleep(0.05)


async def test_online_texts_follow_each_other(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "online"})
        for _ in range(2):
            pieces = asyncio.create_task(repeat(talk, pcm(0.2)))
            first = await talk.hear()
            pieces.cancel()
            await talk.say(silence(1.5))
            assert first["text"].strip() == TEXT
        await talk.say(END)
        last = (await talk.until_final())[-1]
    assert {first["mode"], last["mode"]} == {"online"}
    assert first["text"] == f" {TEXT}"  # behind the first utterance
    assert last["text"] == ""


async def test_silence_is_no_result(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, silence(3.0), END)
        answer = await talk.hear()
    assert (answer["text"], answer["is_final"]) == ("", True)
    assert await rows(running) == []


async def test_an_utterance_is_cut_at_thirty_seconds(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, *[pcm(1.0)] * 70, END)
        await talk.until_final()
    durations = [row["duration_seconds"] for row in await rows(running)]
    assert sum(durations) == pytest.approx(70, abs=0.1)
    assert max(durations) <= 30


async def test_the_end_is_acknowledged_where_it_is_asked_for(running: Running) -> None:
    async with client(running) as talk:
        await talk.say(FILE, pcm(0.5), {"is_speaking": False, "is_end": True})
        answer, acknowledgement = await talk.hear(), await talk.hear()
    assert (answer["text"], answer.get("is_end")) == (TEXT, None)
    assert (acknowledgement["is_end"], acknowledgement["is_final"]) == (True, True)


@pytest.mark.parametrize("mode", ["offline", "online", "2pass"])
async def test_funasrs_own_client_gets_what_it_waits_for(running: Running, mode: str) -> None:
    """What funasr_wss_client.py sends, and what it takes for an end."""
    first = {
        "mode": mode,
        "chunk_size": [5, 10, 5],
        "chunk_interval": 10,
        "encoder_chunk_look_back": 4,
        "decoder_chunk_look_back": 0,
        "audio_fs": 16_000,
        "wav_name": "demo",
        "wav_format": "pcm",
        "is_speaking": True,
        "hotwords": "",
        "itn": True,
    }
    audio = pcm(1.0)
    pieces = [audio[start : start + 1_920] for start in range(0, len(audio), 1_920)]
    async with client(running, ping_interval=None) as talk:
        await talk.say(first, *pieces, {"is_speaking": False, "is_end": True})
        heard = [await talk.hear()]
        while not heard[-1].get("is_end"):
            heard.append(await talk.hear())
    assert heard[-1]["is_final"] is True
    texts = [message["text"] for message in heard if message["mode"] != "2pass-online"]
    assert "".join(texts) == TEXT


async def test_a_client_may_send_one_file_after_the_other(running: Running) -> None:
    async with client(running) as talk:
        for name in ("a", "b"):
            await talk.say({**FILE, "wav_name": name}, pcm(0.5), END)
            assert (await talk.hear())["wav_name"] == name


async def test_the_mode_may_change_between_files(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({"mode": "2pass"}, pcm(0.5), END)
        assert (await talk.until_final())[-1]["mode"] == "2pass-offline"
        await talk.say({"mode": "offline"}, pcm(0.5), END)
        assert (await talk.hear())["mode"] == "offline"


async def test_an_end_without_audio_has_an_empty_answer(running: Running) -> None:
    async with client(running) as talk:
        await talk.say(FILE, END)
        answer = await talk.hear()
    assert (answer["text"], answer["is_final"]) == ("", True)


@pytest.mark.parametrize("mode", ["offline", "2pass"])
@pytest.mark.parametrize("rate", [8_000, 44_100])
async def test_other_rates_are_resampled(running: Running, mode: str, rate: int) -> None:
    async with client(running) as talk:
        await talk.say({"mode": mode, "audio_fs": rate}, pcm(2.0, rate), END)
        await talk.until_final()
    assert (await rows(running))[0]["duration_seconds"] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("mode", ["offline", "2pass"])
async def test_other_formats_are_decoded_when_whole(running: Running, mode: str) -> None:
    file = encoded(tone(1.5), container="FLAC")
    async with client(running) as talk:
        await talk.say({"mode": mode, "wav_format": "flac"}, file[:99], file[99:], END)
        answer = (await talk.until_final())[-1]
    assert answer["text"] == TEXT
    assert (await rows(running))[0]["duration_seconds"] == pytest.approx(1.5, abs=0.01)


async def test_a_file_that_is_no_audio_does_not_end_the_stream(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({**FILE, "wav_format": "mp3"}, b"no audio", {"is_end": True})
        answer, acknowledgement = await talk.hear(), await talk.hear()
        assert answer["error"]["code"] == "invalid_audio"
        assert (acknowledgement["is_end"], acknowledgement["is_final"]) == (True, False)
        await talk.say({**FILE, "wav_format": "pcm"}, pcm(0.5), END)
        assert (await talk.hear())["text"] == TEXT


async def test_options_reach_the_model(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({**FILE, "svs_lang": "zh", "itn": False}, pcm(0.5), END)
        assert (await talk.hear())["text"] == "itn=False language=zh"


async def test_the_defaults_that_clients_always_send_refuse_nothing(running: Running) -> None:
    defaults = {
        "chunk_size": [5, 10, 5],
        "chunk_interval": 10,
        "encoder_chunk_look_back": 4,
        "decoder_chunk_look_back": 0,
        "hotwords": "",
        "itn": True,
        "svs_lang": "auto",
        "svs_itn": True,
    }
    async with client(running) as talk:
        await talk.say({**FILE, **defaults}, pcm(0.5), END)
        answer = await talk.hear()
    assert answer["text"] == TEXT
    assert "notice" not in answer


async def test_what_means_nothing_here_is_named(running: Running) -> None:
    async with client(running) as talk:
        await talk.say({**FILE, "speakers": 2}, pcm(0.5), END)
        assert (await talk.hear())["notice"] == "not used here: speakers"


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        (["no JSON"], None, 1007),
        (["[]"], None, 1007),
        (["[" * 60_000], None, 1007),
        ([b"odd"], None, 1007),
        ([{"mode": "offline"}, b"odd"], None, 1007),
        (["x" * 70_000], None, 1009),
        ([{"mode": "karaoke"}], "mode", 1008),
        ([{"mode": 2}], "mode", 1008),
        ([{"is_speaking": "no"}], "is_speaking", 1008),
        ([{"audio_fs": "16k"}], "audio_fs", 1008),
        ([{"audio_fs": True}], "audio_fs", 1008),
        ([{"audio_fs": 0}], "audio_fs", 1008),
        ([{"chunk_size": 10}], "chunk_size", 1008),
        ([{"chunk_size": [5, "x", 5]}], "chunk_size", 1008),
        ([{"chunk_size": [5, 0, 5]}], "chunk_size", 1008),
        ([{"chunk_interval": {}}], "chunk_interval", 1008),
        ([{"wav_name": "a" * 300}], "wav_name", 1008),
        ([{"hotwords": "{"}], "hotwords", 1008),
        ([{"hotwords": 5}], "hotwords", 1008),
        ([{"hotwords": '{"阿里巴巴": 20}'}], "hotwords", 1008),  # the fake model takes none
        ([{"svs_lang": "fr"}], "svs_lang", 1008),
        ([{"mode": "offline"}, pcm(0.1), {"audio_fs": 8_000}], None, 1008),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(
    running: Running, messages: list[object], param: str | None, code: int
) -> None:
    assert await refusal(running, *messages) == (param, code)
