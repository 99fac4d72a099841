from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from asr_node.errors import Busy
from asr_node.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(max_waiting=1)
    yield worker
    worker.close()


async def test_jobs_run_in_one_thread(worker: Worker) -> None:
    first = await worker.run(threading.get_ident)
    assert first == await worker.run(threading.get_ident)
    assert first != threading.get_ident()


async def test_a_full_line_is_refused_and_recovers(worker: Worker) -> None:
    gate = threading.Event()
    jobs = [asyncio.create_task(worker.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await worker.run(int)
    gate.set()
    await asyncio.gather(*jobs)
    assert await worker.run(int) == 0


async def test_a_cancelled_caller_leaves_the_line(worker: Worker) -> None:
    gate, ran = threading.Event(), threading.Event()
    running = asyncio.create_task(worker.run(gate.wait))
    waiting = asyncio.create_task(worker.run(ran.set))
    await asyncio.sleep(0)
    assert worker.jobs == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert worker.jobs == 1
    gate.set()
    await running
    await worker.run(int)
    assert not ran.is_set()


async def test_a_jobs_error_reaches_its_caller_only(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(int) == 0
