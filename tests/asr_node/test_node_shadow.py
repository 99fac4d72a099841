"""Requests marked X-ASR-Shadow: answered at once, transcribed later, into the history."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import httpx
import pytest

from asr_node.protocols.shadows import Shadows
from tests.asr_node.node_fakes import FakeEngine, encoded, tone

PATH = "/v1/audio/transcriptions"
CLIP = encoded(tone(1.0))
SHADOW = {"X-ASR-Shadow": "1", "X-Request-ID": "copy-7"}


async def shadow(running, data: bytes = CLIP, **fields: str) -> httpx.Response:
    files = {"file": ("clip.wav", data)}
    return await running.client.post(PATH, files=files, data=fields, headers=SHADOW)


async def rows(running) -> list[dict[str, object]]:
    return (await running.client.get("/v1/history")).json()["entries"]


async def until_rows(running, count: int) -> list[dict[str, object]]:
    async with asyncio.timeout(60):
        while len(found := await rows(running)) < count:
            await asyncio.sleep(0.01)
    return found


async def test_a_shadow_is_answered_before_it_is_transcribed(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    answer = await shadow(running)
    assert (answer.status_code, answer.headers["x-asr-shadow"]) == (202, "accepted")
    assert answer.content == b""
    await running.until(recognizer.running.is_set)
    recognizer.gate.set()
    (row,) = await until_rows(running, 1)
    assert (row["itn_text"], row["priority"]) == ("itn=True language=auto", "shadow")


async def test_a_client_that_leaves_does_not_end_its_shadow(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    async with httpx.AsyncClient(base_url=running.url) as leaver:
        files = {"file": ("clip.wav", CLIP)}
        assert (await leaver.post(PATH, files=files, headers=SHADOW)).status_code == 202
    recognizer.gate.set()
    assert len(await until_rows(running, 1)) == 1


async def test_what_has_no_room_is_dropped_and_counted(start: Callable) -> None:
    async with start() as running:
        await running.until_ready()
        crowded(running, most=1)
        running.engine.recognizer.gate.clear()
        answers = [await shadow(running) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        told = [answer.headers["x-asr-shadow"] for answer in answers]
        assert told == ["accepted", "dropped", "dropped"]
        metrics = (await running.client.get("/metrics")).text
        assert "asr_node_shadow_dropped_total 2.0" in metrics
        assert "asr_node_shadow_waiting 1.0" in metrics
        running.engine.recognizer.gate.set()
        await running.until(lambda: running.server.shadows.waiting == 0)
        assert (await shadow(running)).headers["x-asr-shadow"] == "accepted"
        await until_rows(running, 2)


async def test_room_is_measured_in_bytes_too(running) -> None:
    crowded(running, most_bytes=len(CLIP) - 1)
    assert (await shadow(running)).headers["x-asr-shadow"] == "dropped"


async def test_a_node_without_a_model_drops_shadows(start: Callable, engine: FakeEngine) -> None:
    engine.loading.clear()
    async with start() as running:
        answer = await shadow(running)
        assert (answer.status_code, answer.headers["x-asr-shadow"]) == (202, "dropped")


async def test_shadows_never_fill_the_line(start: Callable) -> None:
    """They outnumber its places, and a live request is still taken."""
    async with start(max_waiting=2) as running:
        await running.until_ready()
        running.engine.recognizer.gate.clear()
        for _ in range(12):
            assert (await shadow(running)).headers["x-asr-shadow"] == "accepted"
        running.engine.recognizer.gate.set()
        answer = await running.client.post(PATH, files={"file": ("a.wav", CLIP)})
        assert answer.status_code in {200, 429}
        await until_rows(running, 12)


async def test_a_shadow_outlives_the_worker(running) -> None:
    """Its audio ends a worker twice: then it is known, and a failed row."""
    running.engine.recognizer.deadly = {16_000: signal.SIGKILL}
    assert (await shadow(running)).headers["x-asr-shadow"] == "accepted"
    (row,) = await until_rows(running, 1)
    assert row["status"] == "failed"
    await running.until_ready()


@pytest.mark.parametrize(("field", "value"), [("language", "fr"), ("no_such_field", "1")])
async def test_what_could_never_be_transcribed_is_refused(running, field: str, value: str) -> None:
    assert (await shadow(running, **{field: value})).status_code == 400


async def test_a_bad_recording_is_a_failed_row(running) -> None:
    assert (await shadow(running, b"no audio" * 99)).status_code == 202
    (row,) = await until_rows(running, 1)
    assert row["status"] == "failed"


async def test_the_webuis_requests_have_shadows_too(running) -> None:
    body = {"data": [{"name": "a", "data": "data:;base64,AAAA"}]}
    answer = await running.client.post("/api/predict", json=body, headers=SHADOW)
    assert answer.status_code == 202


def crowded(running, **bounds: int) -> None:
    """The same node with less room for shadows."""
    shadows: Shadows = running.server.shadows
    for name, bound in bounds.items():
        setattr(shadows, f"_{name}", bound)


async def test_copies_alone_can_be_kept(start: Callable) -> None:
    async with start(keep_copies=True) as running:
        await running.until_ready()
        await running.client.post(PATH, files={"file": ("live.wav", CLIP)})
        await shadow(running)
        copy = next(row for row in await until_rows(running, 2) if row["priority"] == "shadow")
        (kept,) = (running.node.settings.data_dir / "audio").iterdir()
        assert kept.name.endswith(f"_{copy['id']}.wav")
        assert kept.read_bytes() == CLIP
