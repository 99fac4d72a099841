"""X-Request-ID as an idempotency key."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from asr_node.protocols.replays import Replays
from asr_node.recognition import Recognition
from asr_node.transcriber import Transcribed
from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
CLIP = encoded(tone(1.0))
OTHER = encoded(tone(2.0))


async def post(
    running, data: bytes = CLIP, request_id: str | None = "call-7", **fields: str
) -> httpx.Response:
    headers = {} if request_id is None else {"X-Request-ID": request_id}
    files = {"file": ("clip.wav", data)}
    return await running.client.post(PATH, files=files, data=fields, headers=headers)


def replayed(answer: httpx.Response) -> bool:
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-asr-replayed") == "1"


async def test_a_request_that_comes_again_is_not_done_again(running) -> None:
    first, second = await post(running), await post(running)
    assert (replayed(first), replayed(second)) == (False, True)
    assert first.json() == second.json()
    assert len(running.engine.recognizer.heard) == 1


async def test_the_same_id_with_another_recording_is_another_request(running) -> None:
    await post(running)
    assert not replayed(await post(running, OTHER))
    assert [size for size, _ in running.engine.recognizer.heard] == [16_000, 32_000]


async def test_the_same_id_with_other_fields_is_another_request(running) -> None:
    first, second = await post(running), await post(running, language="zh")
    assert not replayed(second)
    assert first.json() != second.json()


async def test_an_id_that_the_node_made_is_no_key(running) -> None:
    assert not replayed(await post(running, request_id=None))
    assert not replayed(await post(running, request_id=None))
    assert len(running.engine.recognizer.heard) == 2


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Replays:
    """Those of the node that is started after it."""
    made = Replays()
    monkeypatch.setattr("asr_node.app.Replays", lambda: made)
    return made


def callers(replays: Replays) -> list[int]:
    """How many wait for each work that runs; others in flight may still be received."""
    return [work.callers for work in replays._running.values()]


async def test_a_request_joins_the_work_that_runs(replays, running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    first = asyncio.create_task(post(running))
    await running.until(recognizer.running.is_set)
    second = asyncio.create_task(post(running))
    await running.until(lambda: callers(replays) == [2])
    recognizer.gate.set()
    answers = await asyncio.gather(first, second)
    assert sorted(replayed(answer) for answer in answers) == [False, True]
    assert len(recognizer.heard) == 1


async def test_the_work_goes_on_for_the_second_when_the_first_leaves(replays, running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    async with httpx.AsyncClient(base_url=running.url) as leaver:
        files = {"file": ("clip.wav", CLIP)}
        first = asyncio.create_task(
            leaver.post(PATH, files=files, headers={"X-Request-ID": "call-7"})
        )
        await running.until(recognizer.running.is_set)
        second = asyncio.create_task(post(running))
        await running.until(lambda: callers(replays) == [2])
        first.cancel()
    await running.until(lambda: callers(replays) == [1])
    recognizer.gate.set()
    assert replayed(await second)
    assert len(recognizer.heard) == 1


async def test_a_failure_is_tried_again(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.fault = RuntimeError("once")
    assert (await post(running)).status_code == 500
    recognizer.fault = None
    assert not replayed(await post(running))


async def test_a_stream_is_replayed_as_one(running) -> None:
    first, second = await post(running, stream="true"), await post(running, stream="true")
    assert replayed(second)
    assert first.text == second.text


# The keeping itself, without a node.


def result(text: str = "text") -> Transcribed:
    return Transcribed("id", Recognition(text, text, "zh", (), "cpu", 0.1), 1.0)


async def ask(replays: Replays, key: str, text: str = "text") -> bool:
    async def work() -> Transcribed:
        return result(text)

    with replays.joined(key, work, lambda: None) as (done, was_replayed):
        await done
    await asyncio.sleep(0)  # callbacks of the finished task
    return was_replayed


async def test_answers_are_kept_for_a_while() -> None:
    now = 0.0
    replays = Replays(kept_seconds=600.0, clock=lambda: now)
    assert not await ask(replays, "a")
    now = 599.0
    assert await ask(replays, "a")
    now = 600.0
    assert not await ask(replays, "a")


@pytest.mark.parametrize("bound", [{"kept_answers": 2}, {"kept_bytes": 10_000}])
async def test_the_oldest_answers_give_way(bound: dict[str, int]) -> None:
    replays = Replays(**bound)
    for key in ("a", "b", "c"):
        await ask(replays, key, "x" * 300)
    assert await ask(replays, "c")
    assert not await ask(replays, "a")


async def test_work_that_its_last_caller_left_is_cancelled_and_not_joined() -> None:
    replays = Replays()
    began = asyncio.Event()
    released: list[str] = []

    async def endless() -> Transcribed:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    def joined(work: Any) -> Any:
        return replays.joined("a", work, lambda: released.append("file"))

    with joined(endless) as (left, _):
        await began.wait()
        assert released == []  # the file is in use

    async def work() -> Transcribed:
        return result()

    with joined(work) as (done, was_replayed):
        assert not was_replayed
        assert await done == result()
    assert left.cancelled()
    await asyncio.sleep(0)
    assert released == ["file", "file"]


async def test_what_a_joining_caller_brought_is_released_at_once() -> None:
    replays = Replays()
    released: list[str] = []
    gate = asyncio.Event()

    async def work() -> Transcribed:
        await gate.wait()
        return result()

    def never() -> Coroutine[Any, Any, Transcribed]:
        raise AssertionError("the work is being done already")

    with (
        replays.joined("a", work, lambda: released.append("first")),
        replays.joined("a", never, lambda: released.append("second")) as (done, _),
    ):
        assert released == ["second"]
        gate.set()
        await done
    await asyncio.sleep(0)
    assert released == ["second", "first"]
