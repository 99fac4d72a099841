"""A worker that ends takes no other request along, and no recording ends two of them twice."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from asr_node.errors import NotReady
from asr_node.recognizer import DecodeOptions
from asr_node.worker.poison import MOST, Poison
from tests.asr_node.node_fakes import encoded, tone

pytestmark = pytest.mark.timeout(240)

CLIP = encoded(tone(1.0))
DEADLY = encoded(tone(1.5))
DEADLY_SAMPLES = 24_000
OPTIONS = DecodeOptions("zh", itn=False)


async def post(client: httpx.AsyncClient, data: bytes = CLIP) -> httpx.Response:
    return await client.post("/v1/audio/transcriptions", files={"file": ("clip.wav", data)})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_worker_that_ends_is_restarted_and_readyz_says_why(running) -> None:
    running.engine.recognizer.deadly = {DEADLY_SAMPLES: signal.SIGSEGV}
    running.engine.loading.clear()  # holds the next worker back
    answer = await post(running.client, DEADLY)
    assert code(answer) == (503, "worker_ended")
    assert answer.headers["retry-after"] == "1"
    readiness = await running.client.get("/readyz")
    assert readiness.status_code == 503
    assert readiness.json()["reason"] == ("a worker is being restarted: it was ended by SIGSEGV")
    assert (await running.client.get("/healthz")).status_code == 200
    assert code(await post(running.client)) == (503, "not_ready")
    running.engine.loading.set()
    await running.until_ready()
    assert (await post(running.client)).status_code == 200
    assert running.node.stats().worker_restarts == 1


async def test_a_recording_that_ends_a_second_worker_is_refused_for_good(start: Callable) -> None:
    async with start() as running:
        await running.until_ready()
        running.engine.recognizer.deadly = {DEADLY_SAMPLES: signal.SIGKILL}
        assert code(await post(running.client, DEADLY)) == (503, "worker_ended")
        await running.until_ready()
        assert code(await post(running.client, DEADLY)) == (422, "audio_ends_worker")
        await running.until_ready()
        pid = running.node.stats().worker_pids
        assert code(await post(running.client, DEADLY)) == (422, "audio_ends_worker")
        assert running.node.stats().worker_pids == pid  # it was not tried again
    async with start() as restarted:
        await restarted.until_ready()
        assert code(await post(restarted.client, DEADLY)) == (422, "audio_ends_worker")
        assert (await post(restarted.client)).status_code == 200


async def test_the_others_of_its_batch_get_their_answers(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.deadly = {DEADLY_SAMPLES: signal.SIGSEGV}
    recognizer.gate.clear()
    first = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    clips = [CLIP, DEADLY, encoded(tone(1.2)), CLIP]
    batch = [asyncio.create_task(post(running.client, clip)) for clip in clips]
    await running.until(lambda: running.node.stats().queue_length == 4)
    recognizer.gate.set()
    assert (await first).status_code == 200
    answers = await asyncio.gather(*batch)
    assert [answer.status_code for answer in answers] == [200, 422, 200, 200]


async def test_a_request_that_waits_survives_the_end_of_a_worker(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    first = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    waiting = asyncio.create_task(post(running.client))
    await running.until(lambda: running.node.stats().queue_length == 1)
    os.kill(running.node.stats().worker_pids[0], signal.SIGKILL)
    assert code(await first) == (503, "worker_ended")
    recognizer.gate.set()
    assert (await waiting).status_code == 200


async def test_an_idle_worker_that_is_killed_is_replaced(running) -> None:
    (pid,) = running.node.stats().worker_pids
    os.kill(pid, signal.SIGKILL)
    await running.until(lambda: running.node.stats().worker_restarts == 1)
    await running.until_ready()
    assert running.node.stats().worker_pids != (pid,)
    assert (await post(running.client)).status_code == 200


async def test_with_two_workers_one_may_end(start: Callable) -> None:
    async with start(workers=2) as running:
        await running.until(lambda: len(running.node.stats().worker_pids) == 2)
        await running.until(
            lambda: all(worker.state == "ready" for worker in running.node.stats().workers)
        )
        running.engine.loading.clear()
        os.kill(running.node.stats().worker_pids[0], signal.SIGKILL)
        await running.until(lambda: len(running.node.stats().worker_pids) == 1)
        assert (await running.client.get("/readyz")).status_code == 200
        assert (await post(running.client)).status_code == 200
        running.engine.loading.set()
        await running.until(lambda: len(running.node.stats().worker_pids) == 2)


async def test_what_waits_for_a_worker_that_cannot_start_is_refused(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    first = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    waiting = asyncio.create_task(post(running.client))
    await running.until(lambda: running.node.stats().queue_length == 1)
    running.engine.fault = "the disk is gone"
    os.kill(running.node.stats().worker_pids[0], signal.SIGKILL)
    assert code(await first) == (503, "worker_ended")
    assert code(await waiting) == (503, "not_ready")
    assert "the next one failed: the disk is gone" in running.node.state
    running.engine.fault = None
    await running.until_ready()


async def test_no_worker_outlives_the_node(start: Callable) -> None:
    async with start(workers=2) as running:
        await running.until(lambda: len(running.node.stats().worker_pids) == 2)
        pids = running.node.stats().worker_pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_worker_is_recycled_and_the_node_stays_ready(start: Callable) -> None:
    async with start(recycle_after=3) as running:
        await running.until_ready()
        (pid,) = running.node.stats().worker_pids
        states = set()
        while running.node.stats().worker_pids == (pid,):
            states.add((await running.client.get("/readyz")).json()["reason"])
            assert (await post(running.client)).status_code == 200
        assert states == {"ready"}
        await running.until(lambda: not psutil.pid_exists(pid))
        assert (await post(running.client)).status_code == 200
        assert running.node.stats().worker_restarts == 0


async def test_a_worker_that_grew_is_recycled(start: Callable) -> None:
    async with start(recycle_memory_mb=1) as running:
        await running.until_ready()
        (pid,) = running.node.stats().worker_pids
        assert (await post(running.client)).status_code == 200
        await running.until(lambda: not psutil.pid_exists(pid))


async def test_a_gpu_without_room_for_two_is_not_left_for_the_cpu(start: Callable) -> None:
    async with start(device="cuda:0", recycle_after=1) as running:
        await running.until_ready()
        running.engine.no_room = True  # while the first holds its memory
        assert (await post(running.client)).status_code == 200
        await running.until(lambda: not running.node.ready or bool(running.node.degraded))
        running.engine.no_room = False
        await running.until_ready()
        assert running.node.degraded is None
        assert running.node.identity()["device"] == "cuda:0"


async def test_a_worker_without_a_successor_serves_on(start: Callable) -> None:
    async with start(recycle_after=1) as running:
        await running.until_ready()
        pids = running.node.stats().worker_pids
        running.engine.fault = "its files have changed"
        assert (await post(running.client)).status_code == 200
        slot = running.node._pool._slots[0]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(slot._recycling), 5)
        assert running.node.ready
        assert running.node.stats().worker_pids == pids
        assert (await post(running.client)).status_code == 200


async def test_who_comes_while_the_last_worker_goes_does_not_wait_for_ever(running) -> None:
    """Where a recording has ended a worker, others are hashed on their way into the line."""
    await running.node._poison.blame(tone(2.0))
    hashing, go = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(hashing)
    hashing.submit(go.wait, 60)
    late = asyncio.create_task(running.node.recognize(tone(1.0), OPTIONS, "late"))
    await running.until(lambda: running.node.scheduler.requests == 1)
    await running.node.unload()
    go.set()
    with pytest.raises(NotReady):
        await asyncio.wait_for(late, 30)


async def test_deaths_are_remembered_on_the_disk_and_bounded(tmp_path: Path) -> None:
    poison = Poison(tmp_path)
    recording = np.zeros(10, np.float32)
    assert await poison.deaths(recording) == 0
    assert await poison.blame(recording) == 1
    assert await Poison(tmp_path).deaths(recording) == 1
    for number in range(MOST):
        poison._deaths[str(number)] = 1
    await poison.blame(np.ones(10, np.float32))
    assert len(poison._deaths) == MOST
    assert await poison.deaths(recording) == 0


async def test_a_damaged_memory_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "poison.json").write_text("{")
    assert await Poison(tmp_path).deaths(np.zeros(10, np.float32)) == 0
