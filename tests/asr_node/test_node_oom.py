"""A GPU without memory: half the batch, then the CPU, or what the operator says.

The fake engine raises torch's own error, in a real worker process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from asr_node.errors import RequestRefused
from asr_node.worker.memory import is_out_of_memory
from tests.asr_node.node_fakes import encoded, tone

pytestmark = pytest.mark.timeout(240)

CLIP = encoded(tone(1.0))


async def post(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/audio/transcriptions", files={"file": ("clip.wav", CLIP)})


async def a_batch_of_four(running) -> list[httpx.Response]:
    """Behind a first request, so that they wait together."""
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    recognizer.running.clear()
    first = asyncio.create_task(post(running.client))
    await running.until(recognizer.running.is_set)
    four = [asyncio.create_task(post(running.client)) for _ in range(4)]
    await running.until(lambda: running.node.stats().queue_length == 4)
    recognizer.gate.set()
    return await asyncio.gather(first, *four)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_half_the_batch_is_tried_first(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 2
        answers = await a_batch_of_four(running)
        assert [answer.status_code for answer in answers] == [200] * 5
        assert [len(batch) for batch in running.engine.recognizer.batches] == [1] * 5
        readiness = (await running.client.get("/readyz")).json()
        assert (readiness["ready"], readiness["degraded"]) == (True, None)


async def test_then_the_cpu_takes_over_and_says_so(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        answers = await a_batch_of_four(running)
        assert [answer.status_code for answer in answers] == [200] * 5
        readiness = (await running.client.get("/readyz")).json()
        assert readiness["ready"]
        assert readiness["degraded"].startswith("moved to the CPU: out of GPU memory at ")
        assert (await running.client.get("/version")).json()["device"] == "cpu"


async def test_an_operator_brings_it_back_to_the_gpu(start: Callable) -> None:
    async with start(device="cuda:0") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        assert (await post(running.client)).status_code == 200
        running.engine.recognizer.short_of_memory = None
        await running.node.reload()
        assert running.node.degraded  # it is still where it is
        await running.node.set_device("cuda:0")
        readiness = (await running.client.get("/readyz")).json()
        assert (readiness["ready"], readiness["degraded"]) == (True, None)
        assert running.node.identity()["device"] == "cuda:0"


async def test_on_oom_ask_holds_all_work_until_its_operator_answers(start: Callable) -> None:
    async with start(device="cuda:0", on_oom="ask") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        held = [asyncio.create_task(post(running.client))]
        await running.until(lambda: not running.node.ready)
        readiness = await running.client.get("/readyz")
        assert readiness.status_code == 503
        assert "POST /admin/device" in readiness.json()["reason"]
        held += [asyncio.create_task(post(running.client)) for _ in range(2)]
        await running.until(lambda: running.node.stats().queue_length == 3)
        assert not any(request.done() for request in held)
        await running.node.set_device("cpu")
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200] * 3
        assert (await running.client.get("/readyz")).status_code == 200


async def test_on_oom_ask_holds_every_worker(
    start: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(device="cuda:0", on_oom="ask", workers=2) as running:
        await running.until(lambda: len(running.node.stats().worker_pids) == 2)
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        held = asyncio.create_task(post(running.client))
        await running.until(lambda: not running.node.ready)
        assert running.node.stats().queue_length == 1
        assert [record.message for record in caplog.records].count("device.out_of_memory") == 1
        await running.node.set_device("cpu")
        assert (await held).status_code == 200


async def test_on_oom_fail_refuses_and_is_not_ready(start: Callable) -> None:
    async with start(device="cuda:0", on_oom="fail") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        assert code(await post(running.client)) == (503, "out_of_memory")
        assert (await running.client.get("/readyz")).status_code == 503
        assert code(await post(running.client)) == (503, "not_ready")
        running.engine.recognizer.short_of_memory = None
        await running.node.reload()
        assert (await post(running.client)).status_code == 200


async def test_a_change_of_device_loses_no_request(start: Callable) -> None:
    async with start() as running:
        await running.until_ready()
        recognizer = running.engine.recognizer
        recognizer.gate.clear()
        requests = [asyncio.create_task(post(running.client))]
        await running.until(recognizer.running.is_set)
        requests += [asyncio.create_task(post(running.client)) for _ in range(3)]
        await running.until(lambda: running.node.stats().queue_length == 3)
        change = asyncio.create_task(running.node.set_device("cuda:1"))
        recognizer.gate.set()
        await change
        assert [answer.status_code for answer in await asyncio.gather(*requests)] == [200] * 4
        assert running.node.identity()["device"] == "cuda:1"


async def test_a_device_that_is_not_there_changes_nothing(running) -> None:
    running.engine.fault = "no such GPU"
    with pytest.raises(RequestRefused, match="no such GPU"):
        await running.node.set_device("cuda:7")
    assert running.node.ready
    assert (await post(running.client)).status_code == 200
    assert running.node.identity()["device"] == "cpu"


async def test_a_reload_that_leaves_no_model_is_not_ready(start: Callable) -> None:
    """On the same device the old model goes first: nobody must wait for one that is gone."""
    async with start(device="cpu") as running:
        await running.until_ready()
        running.engine.fault = "model.pt is torn"
        with pytest.raises(RequestRefused, match="is torn"):
            await running.node.reload()
        assert "no model is loaded" in (await running.client.get("/readyz")).json()["reason"]
        assert code(await post(running.client)) == (503, "not_ready")
        running.engine.fault = None
        await running.node.reload()
        assert (await post(running.client)).status_code == 200


async def test_what_waits_does_not_wait_for_a_model_that_was_unloaded(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()
    requests = [asyncio.create_task(post(running.client))]
    await running.until(recognizer.running.is_set)
    requests.append(asyncio.create_task(post(running.client)))
    await running.until(lambda: running.node.stats().queue_length == 1)
    unloading = asyncio.create_task(running.node.unload())
    recognizer.gate.set()
    await unloading
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*requests)
    assert [answer.status_code for answer in answers] == [200, 503]


async def test_work_is_still_held_where_the_operators_choice_fails(start: Callable) -> None:
    async with start(device="cuda:0", on_oom="ask") as running:
        await running.until_ready()
        running.engine.recognizer.short_of_memory = 1
        held = [asyncio.create_task(post(running.client))]
        await running.until(lambda: not running.node.ready)
        running.engine.fault = "no such GPU"
        with pytest.raises(RequestRefused, match="no such GPU"):
            await running.node.set_device("cuda:7")
        held.append(asyncio.create_task(post(running.client)))
        await running.until(lambda: running.node.stats().queue_length == 2)
        running.engine.fault = None
        await running.node.set_device("cpu")
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]


async def test_an_unloaded_model_is_loaded_again(running) -> None:
    await running.node.unload()
    assert "unloaded" in (await running.client.get("/readyz")).json()["reason"]
    assert code(await post(running.client)) == (503, "not_ready")
    await running.node.clear_cache()
    await running.node.reload()
    assert (await post(running.client)).status_code == 200


async def test_a_model_for_which_the_gpu_has_no_room_starts_on_the_cpu(
    start: Callable, engine
) -> None:
    engine.no_room = True
    async with start(device="cuda:0") as running:
        await running.until_ready()
        assert running.node.identity()["device"] == "cpu"
        assert running.node.degraded


def test_errors_of_other_libraries_are_understood_too() -> None:
    assert is_out_of_memory(RuntimeError("CUDA failed with error out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory is a phrase"))
    wrapped = ValueError("cannot load")
    wrapped.__cause__ = RuntimeError("MPS backend out of memory")
    assert is_out_of_memory(wrapped)
