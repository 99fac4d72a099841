"""A GPU that falls off the bus: another worker, and where there is no GPU for it, the CPU.

The fake engine raises torch's own error, in a real worker process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from asr_node.errors import LoadFailed
from asr_node.worker.memory import is_device_failure
from tests.asr_node.node_fakes import FakeEngine, encoded, tone

pytestmark = pytest.mark.timeout(240)

CLIP = encoded(tone(1.0))


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/audio/transcriptions", files={"file": ("clip.wav", CLIP)})


def lose_gpu(running) -> None:
    running.engine.recognizer.device_failed.set()
    running.engine.gpus = 0


async def readiness(running) -> dict[str, object]:
    return (await running.client.get("/readyz")).json()


async def test_the_node_goes_on_on_the_cpu_and_says_so(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        lose_gpu(running)
        lost = await post(running.client)
        assert (lost.status_code, lost.json()["error"]["code"]) == (503, "worker_ended")
        await running.until_ready()
        assert (await post(running.client)).status_code == 200
        assert running.node.identity()["device"] == "cpu"
        said = str((await readiness(running))["degraded"])
        assert said.startswith("moved to the CPU: its GPU failed at ")
        assert "0 CUDA devices" in said


async def test_of_several_in_one_batch_each_is_answered(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        recognizer = running.engine.recognizer
        recognizer.gate.clear()
        recognizer.running.clear()
        first = asyncio.create_task(post(running.client))
        await running.until(recognizer.running.is_set)
        four = [asyncio.create_task(post(running.client)) for _ in range(4)]
        await running.until(lambda: running.node.stats().queue_length == 4)
        lose_gpu(running)
        recognizer.gate.set()
        assert (await first).status_code == 503
        assert {answer.status_code for answer in await asyncio.gather(*four)} == {200}


async def test_a_gpu_that_a_new_process_can_use_is_used_again(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        running.engine.recognizer.device_failed.set()
        assert (await post(running.client)).status_code == 503
        running.engine.recognizer.device_failed.clear()
        await running.until_ready()
        assert (await post(running.client)).status_code == 200
        assert running.node.identity()["device"] == "cuda:0"
        assert (await readiness(running))["degraded"] is None


async def test_a_gpu_that_was_chosen_by_the_node_itself_is_missed_too(
    start: Callable, engine: FakeEngine
) -> None:
    engine.gpus = 1
    async with start(device="auto") as running:
        await running.until_ready()
        assert running.node.identity()["device"] == "cuda:0"
        lose_gpu(running)
        await post(running.client)
        await running.until_ready()
        assert running.node.degraded


async def test_its_operator_brings_it_back_to_the_gpu(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        lose_gpu(running)
        await post(running.client)
        await running.until_ready()
        running.engine.recognizer.device_failed.clear()
        running.engine.gpus = 1
        await running.node.set_device("cuda:0")
        assert running.node.identity()["device"] == "cuda:0"
        assert (await readiness(running))["degraded"] is None


async def test_with_on_oom_fail_it_waits_for_its_operator(start: Callable) -> None:
    async with start(device="cuda:0", on_oom="fail") as running:
        await running.until_ready()
        lose_gpu(running)
        await post(running.client)
        await running.until(lambda: "0 CUDA devices" in running.node.state)
        assert (await running.client.get("/readyz")).status_code == 503
        await running.node.set_device("cpu")
        await running.until_ready()
        assert (await post(running.client)).status_code == 200


async def test_without_its_gpu_at_its_first_start_it_does_not_start(
    start: Callable, engine: FakeEngine
) -> None:
    engine.gpus = 0
    async with start(device="cuda:0") as running:
        await running.serving
        assert running.server.exit_status == 1
        assert "0 CUDA devices" in running.node.reason


def test_errors_of_other_libraries_are_understood_too() -> None:
    assert is_device_failure(RuntimeError("CUDA failed with error unknown error"))
    assert is_device_failure(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"))
    assert is_device_failure(RuntimeError("No CUDA GPUs are available"))
    wrapped = LoadFailed("FunASR cannot load a folder")
    wrapped.__cause__ = RuntimeError("CUDA error: device-side assert triggered")
    assert is_device_failure(wrapped)
    assert not is_device_failure(RuntimeError("shapes differ"))
    assert not is_device_failure(ValueError("CUDA error: is a phrase"))
