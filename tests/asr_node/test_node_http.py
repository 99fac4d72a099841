from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx
import openai
import pytest

from asr_node.errors import OptionRefused
from asr_node.recognizer import Capabilities
from tests.asr_node.node_fakes import ENGINE, FakeEngine, encoded, tone

CLIP = encoded(tone(1.0))


async def post(client: httpx.AsyncClient, data: bytes = CLIP, **form: object) -> httpx.Response:
    return await client.post(
        "/v1/audio/transcriptions", files={"file": ("clip.wav", data)}, data=form
    )


def refused(answer: httpx.Response, status: int, param: str | None = None) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param
    return error


async def test_the_node_is_alive_before_it_is_ready(start: Callable, engine: FakeEngine) -> None:
    engine.loading.clear()
    async with start() as running:
        await running.until(lambda: running.node.reason == "loading the model")
        assert (await running.client.get("/healthz")).json() == {"status": "alive"}
        answer = await running.client.get("/readyz")
        assert answer.status_code == 503
        assert {name: value for name, value in answer.json().items() if name != "memory"} == {
            "ready": False,
            "reason": "loading the model",
            "version": "v1",
            "digest": running.node.digest,
            "in_flight": 0,
            "degraded": None,
        }
        error = refused(await post(running.client), 503)
        assert error["code"] == "not_ready"
        engine.loading.set()
        await running.until_ready()
        assert engine.recognizer.warmed_up
        assert (await running.client.get("/readyz")).status_code == 200


async def test_a_model_that_cannot_load_is_named_and_ends_the_node(
    start: Callable, engine: FakeEngine
) -> None:
    engine.fault = "weights are torn"
    async with start() as running:
        await running.until(lambda: running.node.reason.startswith("failed"))
        answer = await running.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reason"] == "failed: weights are torn"
        await running.serving
        assert running.server.exit_status == 1


async def test_a_language_the_model_does_not_know_is_refused_at_the_start(
    start: Callable,
) -> None:
    async with start(language="fr") as running:
        await running.until(lambda: running.node.reason.startswith("failed"))
        assert "--language fr" in running.node.reason


async def test_the_version_says_what_is_served(running) -> None:
    body = (await running.client.get("/version")).json()
    assert body.pop("pid") > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", body.pop("started_at"))
    digests = running.node.model_digests
    assert body == {
        "version": "v1",
        "digest": running.node.digest,
        "models": {
            "model": {"source": running.node.settings.model, "model_digest": digests["model"]}
        },
        "options": {"engine": ENGINE, "hotwords": [], "itn": True, "language": "auto"},
        "engine": "fake 1.0",
        "device": "cpu",
        "name": "n1",
        "streaming": "vad-segmented",
    }


async def test_openais_client_works(running) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{running.url}/v1", api_key="none", max_retries=0
    ) as client:
        create = client.audio.transcriptions.create
        file = ("clip.wav", CLIP)
        plain = await create(model="whisper-1", file=file)
        assert plain.text == "itn=True language=auto"
        text = await create(model="whisper-1", file=file, response_format="text", language="zh")
        assert text == "itn=True language=zh"
        verbose = await create(
            model="v1",
            file=file,
            response_format="verbose_json",
            temperature=0,
            extra_body={"itn": "false"},
        )
        assert (verbose.text, verbose.language, verbose.duration) == (
            "itn=False language=auto",
            "zh",
            1.0,
        )
        assert [model.id async for model in client.models.list()] == ["v1", "whisper-1"]
        with pytest.raises(openai.BadRequestError) as error:
            await create(model="whisper-1", file=file, prompt="张三")
        assert (error.value.param, error.value.code) == ("prompt", "unsupported_parameter")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", "张三"),
        ("hotwords", "张三"),
        ("hotword", "张三"),
        ("keywords[]", "张三"),
        ("stream", "maybe"),
        ("include[]", "logprobs"),
        ("temperature", "0.3"),
        ("temperature", "warm"),
        ("response_format", "diarized_json"),
        ("timestamp_granularities[]", "word"),
        ("language", "fr"),
        ("itn", "maybe"),
        ("chunking_strategy", '{"type": "server_vad"}'),
        ("known_speaker_names[]", "agent"),
        ("no_such_field", "1"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(running, field: str, value: str) -> None:
    name = field.removesuffix("[]")
    error = refused(await post(running.client, **{field: value}), 400, param=name)
    assert name in error["message"]
    assert running.engine.recognizer.heard == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("hotwords", " , "),
        ("temperature", "0"),
        ("temperature", "0.0"),
        ("stream", "false"),
        ("chunking_strategy", "auto"),
        ("timestamp_granularities[]", ""),
    ],
)
async def test_what_asks_for_nothing_is_accepted(running, field: str, value: str) -> None:
    assert (await post(running.client, **{field: value})).status_code == 200


async def test_a_field_given_twice_is_refused(running) -> None:
    refused(await post(running.client, itn=["true", "false"]), 400, param="itn")


async def test_a_model_without_the_itn_switch_refuses_itn(start: Callable, engine) -> None:
    engine.recognizer.capabilities = Capabilities(frozenset({"auto"}))
    async with start() as running:
        await running.until_ready()
        refused(await post(running.client, itn="true"), 400, param="itn")
        assert (await post(running.client)).status_code == 200


async def test_another_model_does_not_exist(running) -> None:
    error = refused(await post(running.client, model="gpt-4o-transcribe"), 404, param="model")
    assert error["code"] == "model_not_found"


@pytest.mark.parametrize("data", [b"", b"not audio at all" * 99, encoded(tone(0.0))])
async def test_garbage_is_refused_and_harms_nothing(running, data: bytes) -> None:
    refused(await post(running.client, data), 400, param="file")
    assert (await post(running.client)).status_code == 200


async def test_a_form_without_a_file_is_refused(running) -> None:
    path = "/v1/audio/transcriptions"
    refused(await running.client.post(path, json={"file": "x"}), 400, param="file")
    refused(await running.client.post(path, data={"model": "whisper-1"}), 400, param="file")
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    refused(await running.client.post(path, content=b"broken", headers=multipart), 400)
    two = [("file", ("a.wav", CLIP)), ("file", ("b.wav", CLIP))]
    refused(await running.client.post(path, files=two), 400)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/batches"])
@pytest.mark.parametrize("name", ["nobody\\ud800", "prompt"])
async def test_a_charset_that_makes_halves_of_characters_is_no_failure(
    running, path: str, name: str
) -> None:
    body = (
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\na\\ud800\r\n--x\r\n'
        'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    ).encode() + CLIP
    kind = "multipart/form-data; boundary=x; charset=unicode_escape"
    answer = await running.client.post(
        path, content=body + b"\r\n--x--\r\n", headers={"Content-Type": kind}
    )
    assert "not Unicode" in refused(answer, 400)["message"]


async def test_unknown_paths_and_methods_answer_in_openais_shape(running) -> None:
    error = refused(await running.client.get("/v2/nothing"), 404)
    assert (error["code"], "/v2/nothing" in error["message"]) == ("no_route", True)
    error = refused(await running.client.get("/v1/audio/transcriptions"), 405)
    assert error["code"] == "wrong_method"
    assert error["message"] == "GET is not for /v1/audio/transcriptions; use POST."


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/v1/models", "/nothing"])
async def test_every_answer_says_who_gave_it(running, path: str) -> None:
    given = {"X-Request-ID": "a-1.b_2"}
    headers = (await running.client.get(path, headers=given)).headers
    assert (headers["x-asr-version"], headers["x-asr-node"]) == ("v1", "n1")
    assert headers.get_list("x-request-id") == ["a-1.b_2"]


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, '"quoted"'])
async def test_a_bad_request_id_is_replaced(running, given: str) -> None:
    headers = (await running.client.get("/healthz", headers={"X-Request-ID": given})).headers
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


async def test_a_failing_model_is_an_error_and_not_an_end(running) -> None:
    running.engine.recognizer.fault = RuntimeError("secret: out of memory")
    answer = await post(running.client)
    error = refused(answer, 500)
    assert error["type"] == "server_error"
    assert "secret" not in answer.text
    assert answer.headers["x-asr-node"] == "n1"
    running.engine.recognizer.fault = None
    assert (await post(running.client)).status_code == 200


async def test_what_the_model_itself_refuses_is_told_by_name(running) -> None:
    running.engine.recognizer.fault = OptionRefused("300 tokens, of 223", "hotwords")
    error = refused(await post(running.client), 400, "hotwords")
    assert error["message"] == "300 tokens, of 223"
    assert error["code"] == "unsupported_parameter"


async def test_probes_may_ask_for_the_head_alone(running) -> None:
    for path, method in itertools.product(("/healthz", "/readyz"), ("GET", "HEAD")):
        answer = await running.client.request(method, path)
        assert (answer.status_code, bool(answer.content)) == (200, method == "GET")
    running.node.drain()
    answer = await running.client.head("/readyz")
    assert (answer.status_code, answer.content) == (503, b"")


async def test_the_node_is_alive_while_it_infers(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    pending = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    for _ in range(200):
        assert (await running.client.get("/healthz")).status_code == 200
    assert (await running.client.get("/readyz")).json()["in_flight"] == 1
    assert not pending.done()
    recognizer.gate.set()
    assert (await pending).status_code == 200
    await running.until(lambda: running.node.in_flight == 0)


async def test_a_full_line_answers_429_at_once(start: Callable, engine: FakeEngine) -> None:
    async with start(max_waiting=1) as running:
        await running.until_ready()
        engine.recognizer.gate.clear()
        pending = [asyncio.create_task(post(running.client)) for _ in range(2)]
        await running.until(lambda: running.node.scheduler.requests == 2)
        answer = await post(running.client)
        error = refused(answer, 429)
        assert (error["code"], answer.headers["retry-after"]) == ("queue_full", "1")
        engine.recognizer.gate.set()
        assert [(await answer).status_code for answer in pending] == [200, 200]


async def test_a_client_that_leaves_frees_its_place_in_the_line(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    first = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    async with httpx.AsyncClient(base_url=running.url) as leaver:
        left = asyncio.create_task(post(leaver, encoded(tone(2.0))))
        await running.until(lambda: running.node.scheduler.requests == 2)
        left.cancel()
    await running.until(lambda: running.node.scheduler.requests == 1)
    recognizer.gate.set()
    assert (await first).status_code == 200
    assert [size for size, _ in recognizer.heard] == [16_000]
    await running.until(lambda: running.node.in_flight == 0)


async def test_an_upload_that_finds_no_room_on_the_disk_is_for_another_node(
    running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full is a disk that is always full. Short recordings need none."""

    def full(*_: object, **__: object) -> IO[bytes]:
        return Path("/dev/full").open("w+b", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    answer = await post(running.client, encoded(tone(40.0)))
    assert refused(answer, 503)["code"] == "disk_full"
    assert (await post(running.client)).status_code == 200
