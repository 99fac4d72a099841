from __future__ import annotations

import asyncio
import os

import httpx
from prometheus_client.parser import text_string_to_metric_families

from asr_node.memory import DeviceMemory
from asr_node.operations.metrics import Gauges, Metrics
from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
CLIP = encoded(tone(1.0))


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and then the labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(running) -> dict[tuple[str, ...], float]:
    answer = await running.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples(answer.text)


async def test_a_recording_is_counted(running) -> None:
    files = {"file": ("clip.wav", CLIP)}
    assert (await running.client.post(PATH, files=files)).status_code == 200
    found = await scraped(running)
    assert found["asr_node_requests_total", "openai", "200"] == 1
    assert found["asr_node_request_duration_seconds_count", "openai"] == 1
    assert found["asr_node_audio_seconds_total",] == 1.0
    assert found["asr_node_model_duration_seconds_count",] == 1
    assert found["asr_node_real_time_factor_count",] == 1


async def test_refusals_are_counted_by_protocol_and_status(running) -> None:
    await running.client.post(PATH, files={"file": ("a.wav", b"no audio" * 99)})
    await running.client.post("/api/predict", json={})
    await running.client.get("/no/such/path/12345")
    found = await scraped(running)
    assert found["asr_node_requests_total", "openai", "400"] == 1
    assert found["asr_node_requests_total", "gradio", "400"] == 1
    assert found["asr_node_requests_total", "other", "404"] == 1
    assert not any("12345" in label for key in found for label in key)


async def test_the_node_says_what_it_is_and_how_it_feels(running) -> None:
    found = await scraped(running)
    build = next(key for key in found if key[0] == "asr_node_build_info")
    assert set(build[1:]) == {"v1", running.node.digest, "fake 1.0", "cpu"}
    assert found["asr_node_ready",] == 1
    assert found["asr_node_degraded",] == 0
    assert found["asr_node_history_degraded",] == 0
    assert found["asr_node_worker_restarts_total",] == 0
    assert found["asr_node_websocket_streams",] == 0
    assert found["asr_node_resident_memory_bytes", "front"] > 10_000_000


async def test_what_is_in_flight_and_waits(running) -> None:
    recognizer = running.engine.recognizer
    recognizer.gate.clear()

    def post() -> asyncio.Task[httpx.Response]:
        files = {"file": ("clip.wav", CLIP)}
        return asyncio.create_task(running.client.post(PATH, files=files))

    pending = [post()]
    await running.until(recognizer.running.is_set)  # alone: what comes now must wait
    pending += [post(), post()]
    await running.until(lambda: running.node.in_flight == 3)
    async with asyncio.timeout(20):
        while (found := await scraped(running))["asr_node_queue_length",] == 0:
            await asyncio.sleep(0.01)
    assert found["asr_node_in_flight_requests",] == 3
    recognizer.gate.set()
    await asyncio.gather(*pending)
    assert (await scraped(running))["asr_node_queue_length",] == 0


async def test_a_repeated_request_is_counted_as_replayed(running) -> None:
    for _ in range(2):
        files, headers = {"file": ("clip.wav", CLIP)}, {"X-Request-ID": "call-7"}
        await running.client.post(PATH, files=files, headers=headers)
    found = await scraped(running)
    assert found["asr_node_replayed_requests_total",] == 1
    assert found["asr_node_audio_seconds_total",] == 1.0


def test_nodes_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.batch(4)
    assert samples(one.exposition().decode())["asr_node_batch_size_sum",] == 4
    assert samples(other.exposition().decode())["asr_node_batch_size_sum",] == 0


def test_processes_and_gpus_are_told_apart() -> None:
    metrics = Metrics()
    gone = 2**22 + 1  # above Linux' greatest pid
    metrics.watch(
        lambda: Gauges(
            version="v1",
            digest="d",
            engine="fake",
            device="cuda:0",
            ready=False,
            degraded=True,
            in_flight=0,
            queue_length=0,
            worker_restarts=3,
            worker_pids=(1, gone),
            decoder_pids=(os.getpid(),),
            gpu_memory=(DeviceMemory("cuda:0", 2**30, 2**31, 2**33),),
        )
    )
    found = samples(metrics.exposition().decode())
    assert found["asr_node_gpu_memory_bytes", "cuda:0"] == 2**30
    assert found["asr_node_gpu_memory_free_bytes", "cuda:0"] == 2**31
    assert found["asr_node_gpu_memory_total_bytes", "cuda:0"] == 2**33
    assert found["asr_node_resident_memory_bytes", "worker-0"] > 0
    assert ("asr_node_resident_memory_bytes", "worker-1") not in found
    assert found["asr_node_resident_memory_bytes", "decoder-0"] > 0
    assert found["asr_node_worker_restarts_total",] == 3
    assert (found["asr_node_ready",], found["asr_node_degraded",]) == (0, 1)
