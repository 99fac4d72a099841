from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from asr_node.memory import DeviceMemory, host_memory, together
from asr_node.worker.memory import gpu_memory
from controller.adapters.node_http import NodeHttpClient
from tests.asr_node.node_fakes import encoded, tone

PATH = "/v1/audio/transcriptions"
MIB = 2**20


async def held(running) -> int:
    answer = await running.client.get("/readyz")
    (memory,) = answer.json()["memory"]
    assert memory["device"] == "cpu"
    return memory["held_bytes"]


async def test_a_node_tells_that_its_worker_grows(running) -> None:
    running.engine.recognizer.leaks_bytes = 64 * MIB
    before = await held(running)
    for seconds in (0.5, 0.6):
        files = {"file": ("clip.wav", encoded(tone(seconds)))}
        assert (await running.client.post(PATH, files=files)).status_code == 200
    assert 100 * MIB < await held(running) - before < 400 * MIB


async def test_the_controllers_client_hears_of_it(running) -> None:
    running.engine.recognizer.leaks_bytes = 64 * MIB
    client = NodeHttpClient()
    try:
        (before,) = (await client.readiness(f"127.0.0.1:{running.port}", 5)).memory
        files = {"file": ("clip.wav", encoded(tone(0.5)))}
        assert (await running.client.post(PATH, files=files)).status_code == 200
        (after,) = (await client.readiness(f"127.0.0.1:{running.port}", 5)).memory
    finally:
        await client.close()
    assert (after.device, after.free_bytes > 0) == ("cpu", True)
    assert after.held_bytes - before.held_bytes > 50 * MIB


def test_what_a_node_holds_and_what_is_free_fit_into_the_machine() -> None:
    memory = host_memory([os.getpid()])
    assert memory.held_bytes > 10 * MIB
    assert 0 <= memory.free_bytes <= memory.total_bytes - memory.held_bytes
    assert memory.total_bytes <= psutil.virtual_memory().total


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert host_memory([2**22 + 1]).held_bytes == 0  # above Linux' greatest pid


def test_what_two_workers_hold_of_a_gpu_is_added_up() -> None:
    both = [DeviceMemory("cuda:0", 3, 50, 90), DeviceMemory("cuda:0", 4, 40, 90)]
    assert together(both) == (DeviceMemory("cuda:0", 7, 40, 90),)


@pytest.mark.parametrize("initialized", [True, False])
def test_each_gpu_that_the_model_is_on_is_told(
    monkeypatch: pytest.MonkeyPatch, initialized: bool
) -> None:
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: 2,
        memory_reserved=[0, 7 * MIB].__getitem__,
        mem_get_info=[(80, 90), (60 * MIB, 80 * MIB)].__getitem__,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    told = (DeviceMemory("cuda:1", 7 * MIB, 60 * MIB, 80 * MIB),)
    assert gpu_memory() == (told if initialized else ())
