"""The requests that a load sends, as bytes, and how they are paced."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOUNDARY: Final = "asr-rollout-benchmark"
PAUSE_SECONDS: Final = (0.0, 5.0)


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as the body of an upload. `seconds` is its length."""

    name: str
    seconds: float
    body: bytes


def read_clips(eval_set: Path) -> list[Clip]:
    """All recordings of an eval set (a folder with manifest.jsonl)."""
    manifest = (eval_set / "manifest.jsonl").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in manifest.splitlines() if line.strip()]
    return [
        _clip(entry["key"], entry["source_len"] / 1000, eval_set / entry["source"])
        for entry in entries
    ]


def _clip(name: str, seconds: float, audio: Path) -> Clip:
    return Clip(name, seconds, form(audio.name, audio.read_bytes()))


def form(filename: str, data: bytes) -> bytes:
    """The form that OpenAI's clients send."""
    fields = {"model": "whisper-1", "response_format": "json"}
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file_part = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    head = "".join([*parts, file_part]).encode()
    return head + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


def upload(host: str, key: str, body: bytes) -> bytes:
    """A transcription request of the client whose sticky key is `key`."""
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def light(host: str, key: str) -> bytes:
    """A request that a node answers at once: for counting who answers, not for work."""
    return f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\n\r\n".encode()


class Pace:
    """One client's seeded choice of clips and pauses: the same seed, the same choices.

    A client sends one clip per clip length, as somebody who speaks does, with pauses between.
    Clients that send again at once (closed loops) would hide old nginx workers, which only
    serve connections that were idle during a reload."""

    def __init__(self, seed: int, client: int, clips: list[Clip]) -> None:
        self._random = random.Random(f"{seed}:{client}")
        self._clips = clips

    def first_pause(self) -> float:
        return self._random.uniform(*PAUSE_SECONDS)

    def next_clip(self) -> Clip:
        return self._random.choice(self._clips)

    def pause(self, clip: Clip, took_seconds: float) -> float:
        """Seconds from the answer to the next request."""
        return max(0.0, clip.seconds - took_seconds) + self._random.uniform(*PAUSE_SECONDS)
