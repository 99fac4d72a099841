"""Recordings for benchmarks of one server: clips as WAV, and a mixture of everything."""

from __future__ import annotations

import io
import json
import random
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from asr_node.decoding.audio import decode
from asr_node.recognizer import SAMPLE_RATE, Samples

# Container, codec, sample rate: what phones, browsers and recorders send.
_FORMATS: Final = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "flac": ("flac", "flac", 16_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
}
_SHORTEST_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Upload:
    """`is_audio` is False for what a server must refuse."""

    name: str
    data: bytes
    is_audio: bool = True


def wav_eval_set(
    source: Path, target: Path, shortest: float, longest: float, count: int
) -> list[Path]:
    """Copy the first `count` clips of an eval set that last `shortest` to `longest` seconds,
    decoded once, so that every server gets the same bytes and spends its time on speech."""
    (target / "audio").mkdir(parents=True)
    lines = (source / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    fitting = [e for e in entries if shortest <= e["source_len"] / 1000 <= longest][:count]
    paths = []
    for entry in fitting:
        samples = read(source / entry["source"])
        entry["source"] = f"audio/{entry['key']}.wav"
        paths.append(target / entry["source"])
        paths[-1].write_bytes(wav(samples))
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in fitting)
    (target / "manifest.jsonl").write_text(text, encoding="utf-8")
    return paths


def read(path: Path) -> Samples:
    with path.open("rb") as file:
        return decode(file, 3_600.0)


def wav(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(SAMPLE_RATE)
        output.writeframes(_pcm(samples).tobytes())
    return buffer.getvalue()


def mixture(clips: list[Path], longest: float, seed: int) -> Iterator[Upload]:
    """Without end: every format, short ones more often than long ones, each tenth malformed."""
    choose = random.Random(seed)
    speech = np.concatenate([read(clip) for clip in clips])
    made = [_recording(speech, kind, longest, choose) for kind in _FORMATS for _ in range(12)]
    while True:
        upload = choose.choice(made)
        yield _malformed(upload, choose) if choose.random() < 0.1 else upload


def _recording(speech: Samples, kind: str, longest: float, choose: random.Random) -> Upload:
    seconds = _SHORTEST_SECONDS * (longest / _SHORTEST_SECONDS) ** choose.random()
    size = int(seconds * SAMPLE_RATE)
    start = choose.randrange(max(1, speech.size - size))
    return Upload(f"{seconds:.1f}s.{kind}", _encoded(speech[start : start + size], kind))


def _encoded(samples: Samples, kind: str) -> bytes:
    container, codec, rate = _FORMATS[kind]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        pcm = _pcm(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = 0, Fraction(1, SAMPLE_RATE)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _pcm(samples: Samples) -> NDArray[np.int16]:
    return np.asarray(np.round(samples * 32_767), dtype=np.int16)


def _malformed(upload: Upload, choose: random.Random) -> Upload:
    broken = (
        upload.data[:32],
        b"",
        choose.randbytes(20_000),
        b"<!DOCTYPE html><title>not found</title>",
        wav(np.empty(0, np.float32)),
    )
    return Upload(f"malformed-{upload.name}", choose.choice(broken), is_audio=False)
