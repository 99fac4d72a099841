"""What benchmarks/node.py measures with: probes on a beat, windows, mixtures, a curve."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from pathlib import Path

import pytest

from asr_node.decoding.audio import decode
from asr_node.errors import RequestRefused
from benchmarks.node import Side
from benchmarks.node_memory import Curve
from benchmarks.probing import probing
from benchmarks.recordings import mixture, wav_eval_set
from benchmarks.records import Record
from benchmarks.speech_servers import SpeechServer

EVAL_SET = Path(__file__).parents[2] / "eval_sets" / "digits"
SERVER = SpeechServer("server", [], 1, "/", Path())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return wav_eval_set(EVAL_SET, tmp_path_factory.mktemp("clips") / "set", 2.0, 4.0, 5)


async def test_probes_that_a_server_keeps_waiting_are_all_charged_for_it() -> None:
    """It stands still until five are under way, as a blocked event loop does."""
    asked, moving, handling = 0, asyncio.Event(), set[asyncio.Task[None] | None]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        handling.add(asyncio.current_task())
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                if asked == 5:
                    moving.set()
                await moving.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, probing(f"http://127.0.0.1:{port}", "/healthz", 0.02) as answers:
        await asyncio.wait_for(moving.wait(), 20)
    await asyncio.gather(*filter(None, handling))
    assert answers.failed == 0
    assert len(answers.seconds) >= 5
    waited = sorted(answers.seconds, reverse=True)[:4]
    assert waited[0] >= 0.08
    assert waited[-1] >= 0.02


async def test_a_server_that_is_gone_fails_its_probes() -> None:
    async with probing("http://127.0.0.1:1", "/healthz", 0.01) as answers:
        await asyncio.sleep(0.05)
    assert answers.failed == len(answers.seconds) > 0


def test_only_answers_within_the_window_count_for_the_rate() -> None:
    side = Side(SERVER)
    ends = [100.5, 101.5, 102.5, 103.5, 112.0]  # the ramp ends at 101, the window at 111
    records = [Record(0, 100.0, end, status=200) for end in ends]
    side.add([*records, Record(1, 100.0, 105.0, status=500)], window=10.0)
    assert side.requests_per_second == [0.3]
    assert (side.requests, side.failed) == (6, 1)


def test_growth_is_that_of_all_processes_together() -> None:
    curve = Curve(points=[(0, 100, 900), (500, 200, 900), (1_000, 110, 930)])
    assert curve.growth_percent == pytest.approx(4.0)


def test_clips_are_wav_of_the_asked_lengths(clips: list[Path]) -> None:
    manifest = (clips[0].parents[1] / "manifest.jsonl").read_text(encoding="utf-8")
    for path, line in zip(clips, manifest.splitlines(), strict=True):
        seconds = decode(io.BytesIO(path.read_bytes()), 60.0).size / 16_000
        assert 1.9 < seconds < 4.1
        assert seconds == pytest.approx(json.loads(line)["source_len"] / 1000, abs=0.1)


def test_a_mixture_has_every_format_and_says_what_is_no_audio(clips: list[Path]) -> None:
    uploads = list(itertools.islice(mixture(clips, 5.0, seed=1), 150))
    kinds = {upload.name.rpartition(".")[2] for upload in uploads if upload.is_audio}
    assert kinds == {"wav", "flac", "mp3", "ogg", "m4a"}
    assert [u.name for u in uploads] == [
        u.name for u in itertools.islice(mixture(clips, 5.0, seed=1), 150)
    ]
    malformed = [upload for upload in uploads if not upload.is_audio]
    assert 0 < len(malformed) < 40
    for upload in uploads[:40]:
        if upload.is_audio:
            assert decode(io.BytesIO(upload.data), 60.0).size > 0
        else:
            with pytest.raises(RequestRefused):
                decode(io.BytesIO(upload.data), 60.0)
