from __future__ import annotations

import io
import mmap
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import av
import numpy as np
import pytest

from asr_node.decoding.audio import decode
from asr_node.errors import RequestRefused
from tests.asr_node.malformed_audio import silence, wave
from tests.asr_node.node_fakes import encoded, tone

ROOT = Path(__file__).parents[2]


def muxed(samples: np.ndarray, container: str, codec: str, rate: int = 48_000) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def seconds(data: bytes) -> float:
    samples = decode(io.BytesIO(data), 60.0)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert float(np.abs(samples).max()) <= 1.0
    return samples.size / 16_000


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", None), ("WAV", "FLOAT"), ("FLAC", None), ("OGG", "OPUS"), ("MP3", None)],
)
def test_usual_files_keep_their_length(container: str, subtype: str | None) -> None:
    data = encoded(tone(2.0, 48_000), 48_000, container, subtype)
    assert seconds(data) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("container", "codec"), [("ipod", "aac"), ("mp4", "aac"), ("webm", "libopus")]
)
def test_what_browsers_and_phones_record_is_read(container: str, codec: str) -> None:
    assert seconds(muxed(tone(2.0, 48_000), container, codec)) == pytest.approx(2.0, abs=0.1)


def test_16_khz_pcm_comes_through_unchanged() -> None:
    ramp = (np.arange(-3_200, 3_200) / 32_768).astype(np.float32)
    assert np.array_equal(decode(io.BytesIO(encoded(ramp)), 60.0), ramp)


def test_stereo_is_mixed_down() -> None:
    both = np.stack([tone(1.0), np.zeros(16_000, np.float32)], axis=1)
    mixed = decode(io.BytesIO(encoded(both)), 60.0)
    assert mixed.size == 16_000
    assert np.abs(mixed).max() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(0).bytes(50_000),
        b"hello " * 1_000,
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        encoded(tone(0.0)),
        encoded(tone(1.0))[:44],
        encoded(np.array([0.0, np.nan] * 4_000, np.float32), subtype="FLOAT"),
        encoded(np.array([0.0, np.inf] * 4_000, np.float32), 48_000, subtype="FLOAT"),
    ],
    ids=["noise", "text", "image", "no samples", "header only", "NaN", "infinity"],
)
def test_what_is_not_audio_is_refused(data: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        decode(io.BytesIO(data), 60.0)
    assert (refused.value.status, refused.value.param) == (400, "file")


def test_audio_over_the_limit_is_refused() -> None:
    with pytest.raises(RequestRefused, match="longer than 1 seconds"):
        decode(io.BytesIO(encoded(tone(1.1))), 1.0)


def test_a_playlist_cannot_make_the_node_read_its_own_disk(tmp_path: Path) -> None:
    (secret := tmp_path / "secret.wav").write_bytes(encoded(tone(1.0)))
    for playlist in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile 'file:{secret}'\n",
    ):
        with pytest.raises(RequestRefused):
            decode(io.BytesIO(playlist.encode()), 60.0)


@pytest.mark.parametrize("channels", [3, 8, 9, 32])
def test_many_channels_are_mixed_down(channels: int) -> None:
    data = encoded(np.tile(tone(0.5)[:, None], (1, channels)))
    mixed = decode(io.BytesIO(data), 60.0)
    assert mixed.size == 8_000
    assert np.abs(mixed).max() == pytest.approx(0.1, rel=0.02)


def test_a_phones_video_is_heard_and_its_pictures_are_left_alone() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        video, audio = output.add_stream("mpeg4", rate=25), output.add_stream("aac", rate=16_000)
        video.width = video.height = 64
        audio.layout = "mono"
        for _ in range(50):
            output.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        samples = tone(2.0).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        output.mux(audio.encode(frame))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    assert seconds(buffer.getvalue()) == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("rate", [1, 399, 0x7FFFFFFF])
def test_an_absurd_sample_rate_is_refused(rate: int) -> None:
    with pytest.raises(RequestRefused, match="samples a second"):
        decode(io.BytesIO(wave(rate=rate)), 60.0)


def test_a_stream_that_declares_four_gigabytes_is_heard_as_long_as_it_is() -> None:
    """Programs that write WAV into a pipe do not know its length."""
    assert decode(io.BytesIO(wave(declared=0xFFFFFFFF)), 60.0).size == 4_000


def test_long_audio_is_held_on_disk() -> None:
    """So its pages can leave the memory: the array is a view of a file, read-only."""
    samples = decode(io.BytesIO(silence(0.5)), 3_600.0)
    assert samples.size == 1_800 * 16_000
    assert isinstance(samples.base.obj, mmap.mmap)
    assert not samples.any()


def test_a_tiny_file_that_claims_millions_of_frames_gets_no_memory_for_them() -> None:
    """In a process of its own: the limit holds for all of one."""
    lines = (
        "import io, resource",
        "from asr_node.decoding.audio import decode",
        "from asr_node.errors import RequestRefused",
        "from asr_node.decoding.ffmpeg import limit_allocations",
        "from tests.asr_node.malformed_audio import mp4_index_bomb",
        "limit_allocations()",
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        "file = io.BytesIO(mp4_index_bomb(frames=30_000_000))",
        "before = used()",
        "try: decode(file, 60.0)",
        "except RequestRefused: print(used() - before)",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert int(done.stdout) < 128 * 1024  # kilobytes; without the limit it takes a gigabyte


def test_a_long_recording_on_a_full_disk_is_refused_with_a_status_that_routers_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """/dev/full is a disk that is always full."""

    def full(*_: object, **__: object) -> IO[bytes]:
        return Path("/dev/full").open("w+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(RequestRefused) as refused:
        decode(io.BytesIO(silence(0.5)), 3_600.0)
    assert (refused.value.status, refused.value.code) == (503, "disk_full")
