"""A real worker process, with an engine that needs no model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import numpy as np
import psutil
import pytest

from asr_node.errors import LoadFailed, ModelFailed, OptionRefused, WorkerEnded
from asr_node.recognizer import DecodeOptions
from asr_node.settings import Settings
from asr_node.worker.frames import packed, unpacked
from asr_node.worker.process import WorkerProcess
from tests.asr_node.node_fakes import FakeEngine, tone

OPTIONS = DecodeOptions("auto", itn=True)


@pytest.fixture
async def worker(settings: Settings, engine: FakeEngine) -> AsyncIterator[WorkerProcess]:
    worker = await WorkerProcess.start(settings)
    yield worker
    await worker.end()


async def loaded(worker: WorkerProcess) -> WorkerProcess:
    await worker.call("resolve")
    await worker.call("load", "cpu")
    return worker


def test_frames_carry_arrays_beside_the_pickle() -> None:
    samples = np.arange(16_000, dtype=np.float32)
    parts = packed(("transcribe", [samples, samples[100:300]]))[1:]
    name, (whole, piece) = unpacked([bytearray(part) for part in parts])
    assert name == "transcribe"
    assert np.array_equal(whole, samples)
    assert np.array_equal(piece, samples[100:300])
    assert whole.flags.writeable  # torch warns of arrays that are not
    assert [len(part) for part in parts[1:]] == [64_000, 800]


async def test_it_transcribes_what_it_is_given(worker: WorkerProcess) -> None:
    await loaded(worker)
    heard = await worker.call("transcribe", [tone(1.0), tone(2.0)], OPTIONS)
    assert [transcript.text for transcript in heard.transcripts] == ["itn=True language=auto"] * 2
    assert heard.batches == (2,)


async def test_one_that_hangs_is_ended(worker: WorkerProcess, engine: FakeEngine) -> None:
    await loaded(worker)
    engine.recognizer.gate.clear()
    with pytest.raises(WorkerEnded, match=r"no answer for 0\.1 s"):
        await worker.call("transcribe", [tone(1.0)], OPTIONS, deadline_seconds=0.1)
    assert worker.status == -signal.SIGKILL


async def test_it_finds_speech(worker: WorkerProcess) -> None:
    await loaded(worker)
    silence = np.zeros(16_000, np.float32)
    spans = await worker.call("speech", np.concatenate([silence, tone(1.0), silence]))
    assert spans == [(16_000, 32_000)]


async def test_its_errors_arrive(worker: WorkerProcess, engine: FakeEngine) -> None:
    engine.fault = "weights are torn"
    await worker.call("resolve")
    with pytest.raises(LoadFailed, match=r"^weights are torn$"):
        await worker.call("load", "cpu")
    engine.fault = None
    await worker.call("load", "cpu")
    engine.recognizer.fault = ZeroDivisionError("a secret")
    with pytest.raises(ModelFailed, match="ZeroDivisionError: a secret"):
        await worker.call("transcribe", [tone(1.0)], OPTIONS)


async def test_what_it_refuses_arrives_with_the_name_of_the_option(
    worker: WorkerProcess, engine: FakeEngine
) -> None:
    await loaded(worker)
    engine.recognizer.fault = OptionRefused("too many", "hotwords")
    with pytest.raises(OptionRefused, match=r"^too many$") as refused:
        await worker.call("transcribe", [tone(1.0)], OPTIONS)
    assert refused.value.option == "hotwords"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_its_end_is_told_with_the_cause(
    worker: WorkerProcess, engine: FakeEngine, number: signal.Signals
) -> None:
    await loaded(worker)
    engine.recognizer.deadly = {16_000: number}
    with pytest.raises(WorkerEnded, match=f"it was ended by {number.name}"):
        await worker.call("transcribe", [tone(1.0)], OPTIONS)
    assert worker.status == -number
    assert not psutil.pid_exists(worker.pid)


async def test_ctrl_c_and_a_groups_sigterm_do_not_end_it(worker: WorkerProcess) -> None:
    await loaded(worker)
    os.kill(worker.pid, signal.SIGINT)
    os.kill(worker.pid, signal.SIGTERM)
    assert (await worker.call("transcribe", [tone(1.0)], OPTIONS)).transcripts


def test_the_node_itself_imports_no_model_library() -> None:
    code = (
        "import sys, asr_node.cli, asr_node.server; from asr_node.node import Node; "
        "heavy = {'torch', 'funasr', 'faster_whisper', 'silero_vad'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
