"""Real decoder processes: what they are given, what comes back, and what their end does."""

from __future__ import annotations

import asyncio
import io
import mmap
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from asr_node.decoding.audio import decode
from asr_node.decoding.decoder import Decoder
from asr_node.decoding.decoders import Decoders
from asr_node.decoding.wire import PART, Nonsense, Part, refusal_of
from asr_node.errors import RequestRefused
from tests.asr_node import decoder_fakes
from tests.asr_node.malformed_audio import silence
from tests.asr_node.node_fakes import encoded, tone


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    decoders = Decoders(count=1)
    yield decoders
    await decoders.close()


@pytest.fixture
async def commanded() -> AsyncIterator[Decoders]:
    """By its files."""
    decoders = Decoders(count=2, start=partial(Decoder.start, decoder_fakes.MODULE))
    yield decoders
    await decoders.close()


@pytest.fixture
async def impatient() -> AsyncIterator[Decoders]:
    start = partial(Decoder.start, decoder_fakes.MODULE, hang_seconds=0.5)
    decoders = Decoders(count=1, start=start)
    yield decoders
    await decoders.close()


async def refusal(decoders: Decoders, content: bytes, max_seconds: float = 60.0) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        await decoders.decode(io.BytesIO(content), max_seconds)
    return refused.value


async def commands(decoders: Decoders, command: str) -> np.ndarray:
    return await decoders.decode(io.BytesIO(command.encode()), 60.0)


def causes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.fields["cause"] for r in caplog.records if r.message == "decoder.ended"]


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


async def test_a_file_becomes_the_same_samples_wherever_it_lies(
    decoders: Decoders, tmp_path: Path
) -> None:
    content = encoded(np.random.default_rng(1).uniform(-1, 1, 40 * 16_000).astype(np.float32))
    assert len(content) > 1024 * 1024
    expected = decode(io.BytesIO(content), 60.0)
    (path := tmp_path / "clip.wav").write_bytes(content)
    with (
        path.open("rb") as on_disk,
        tempfile.SpooledTemporaryFile(max_size=1024 * 1024) as spooled,
        tempfile.SpooledTemporaryFile(max_size=10 * 1024 * 1024) as in_memory,
    ):
        spooled.write(content)
        in_memory.write(content)
        for file in (io.BytesIO(content), on_disk, spooled, in_memory):
            samples = await decoders.decode(file, 60.0)  # type: ignore[arg-type]
            assert np.array_equal(samples, expected)


async def test_a_short_upload_stays_in_memory(decoders: Decoders) -> None:
    with tempfile.SpooledTemporaryFile(max_size=1024 * 1024) as upload:
        upload.write(encoded(tone(2.0)))
        assert (await decoders.decode(upload, 60.0)).size == 32_000  # type: ignore[arg-type]
        assert not upload._rolled  # type: ignore[attr-defined]


async def test_the_nodes_own_place_in_a_file_is_left_alone(decoders: Decoders) -> None:
    """Its descriptor is shared: a decoder that moved it would spoil what is read here next."""
    content = encoded(tone(60.0))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        start = file.read(10)
        await decoders.decode(file, 60.0)
        assert file.read() == content
        file.seek(0)
        assert file.read(10) == start


async def test_hours_of_audio_are_mapped_from_a_deleted_file(decoders: Decoders) -> None:
    samples = await decoders.decode(io.BytesIO(silence(0.5)), 3_600.0)
    assert samples.size == 1_800 * 16_000
    assert isinstance(samples.base.obj, mmap.mmap)  # type: ignore[union-attr]
    assert not samples.any()


async def test_a_refusal_arrives_as_it_was(decoders: Decoders) -> None:
    for content, max_seconds in ((b"hello " * 1_000, 60.0), (encoded(tone(2.0)), 1.0)):
        with pytest.raises(RequestRefused) as here:
            decode(io.BytesIO(content), max_seconds)
        there = await refusal(decoders, content, max_seconds)
        assert there.body() == here.value.body()
        assert there.status == 400
    assert len(decoders.pids) == 1  # the same one, still


async def test_a_crash_is_tried_once_more(
    commanded: Decoders, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await commands(commanded, f"crash once {tmp_path}/marker")).size == 16_000
    assert causes(caplog) == ["it was ended by SIGSEGV"]


async def test_a_file_that_crashes_each_is_refused_and_disturbs_nobody(
    commanded: Decoders, caplog: pytest.LogCaptureFixture
) -> None:
    harmless = [commands(commanded, "") for _ in range(20)]
    refused, *others = await asyncio.gather(refusal(commanded, b"crash"), *harmless)
    assert (refused.status, refused.code) == (422, "file_ends_decoder")
    assert [samples.size for samples in others] == [16_000] * 20
    assert causes(caplog) == ["it was ended by SIGSEGV"] * 2


@pytest.mark.parametrize("command", ["hang", "hang later"])
async def test_one_that_gives_no_answer_is_ended(
    impatient: Decoders, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    assert (await refusal(impatient, command.encode())).status == 422
    assert causes(caplog) == ["it gave no answer for 0.5 s"] * 2
    assert impatient.pids == ()


@pytest.mark.parametrize("command", ["say too much", "say nothing"])
async def test_an_answer_that_cannot_be_is_not_believed(
    commanded: Decoders, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    assert (await refusal(commanded, command.encode(), 40.0)).status == 422
    assert all(cause.startswith("it answered with") for cause in causes(caplog))


@pytest.mark.parametrize(
    "head", [(b"P", 0), (b"S", 2**32 - 1), (b"S", 3), (b"R", 2**20), (b"E", 1)]
)
def test_parts_that_no_decoder_of_ours_sends_are_nonsense(head: tuple[bytes, int]) -> None:
    with pytest.raises(Nonsense):
        Part.read(PART.pack(*head))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"[]",
        b'{"message": "no", "status": 200, "param": null, "code": null}',
        b'{"message": ["no"], "status": 400, "param": null, "code": null}',
    ],
)
def test_refusals_that_no_decoder_of_ours_sends_are_nonsense(body: bytes) -> None:
    with pytest.raises(Nonsense):
        refusal_of(body)


async def test_a_mistake_of_ours_is_a_500_and_in_the_log(commanded: Decoders) -> None:
    refused = await refusal(commanded, b"fail")
    assert (refused.status, refused.code) == (500, "decoding_failed")
    assert "ZeroDivisionError" in refused.message
    assert len(commanded.pids) == 1


async def test_memory_without_end_is_refused(commanded: Decoders) -> None:
    refused = await refusal(commanded, b"grow")
    assert (refused.status, refused.param) == (500, "file")
    assert len(commanded.pids) == 1


async def test_what_can_wait_leaves_a_decoder_for_who_is_waited_for(commanded: Decoders) -> None:
    files = [io.BytesIO(b"hang"), io.BytesIO(b"hang")]
    patient = [
        asyncio.create_task(commanded.decode(file, 60.0, urgent=False))  # type: ignore[arg-type]
        for file in files
    ]
    await until(lambda: commanded.pids)
    assert (await commands(commanded, "")).size == 16_000
    for task in patient:
        task.cancel()
    await asyncio.wait(patient)


async def test_who_leaves_frees_the_decoder() -> None:
    decoders = Decoders(count=1, start=partial(Decoder.start, decoder_fakes.MODULE))
    leaver = asyncio.create_task(commands(decoders, "hang"))
    await until(lambda: decoders.pids)
    leaver.cancel()
    assert (await asyncio.wait_for(commands(decoders, ""), 60)).size == 16_000
    await decoders.close()


async def test_one_that_ended_with_nothing_to_do_is_replaced(
    commanded: Decoders, caplog: pytest.LogCaptureFixture
) -> None:
    await commands(commanded, "")
    (pid,) = commanded.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(pid))
    assert (await commands(commanded, "")).size == 16_000
    assert causes(caplog) == ["it was ended by SIGKILL (perhaps by the kernel, out of memory)"]


async def test_a_node_that_cannot_start_one_says_ask_another_node() -> None:
    decoders = Decoders(start=partial(Decoder.start, "asr_node.no_such_module"))
    refused = await refusal(decoders, b"")
    assert (refused.status, refused.code) == (503, "no_decoder")
    await decoders.close()
