"""What one node was asked to be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
DEVICE: Final = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
SILERO: Final = frozenset({"silero-vad", "silero_vad"})  # its package ships the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`model`, `vad_model`, `punc_model` are folders or hub ids; seconds and bytes as named.

    `engine`: "funasr", "faster-whisper", or "module:Class", called with these settings."""

    model: str
    version: str
    name: str
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8100
    device: str = "auto"
    engine: str = "funasr"
    vad_model: str = "silero-vad"
    punc_model: str | None = None
    revision: str | None = None
    language: str = "auto"
    itn: bool = True
    hotwords: tuple[str, ...] = ()  # where a request names none
    workers: int = 1
    threads: int = 1  # of each worker
    on_oom: str = "cpu"  # "cpu", "ask" or "fail": when a GPU has no memory left
    recycle_after: int = 0  # utterances of one worker; 0: never
    recycle_memory_mb: int = 0  # resident memory of one worker; 0: any
    max_body_bytes: int = 512 * 1024 * 1024
    max_duration_seconds: float = 14_400.0
    idle_timeout_seconds: float = 60.0
    upload_dir: Path | None = None
    api_keys_file: Path | None = None
    admin_token_file: Path | None = None
    grace_seconds: int = 30
    max_waiting: int = 64
    max_streams: int = 32
    history_url: str | None = field(default=None, repr=False)  # may hold a password
    history_days: int = 0  # 0: for ever
    backup_every_hours: float = 24.0  # 0: never
    backup_keep: int = 7
    keep_audio: bool = False
    keep_copies: bool = False  # of copied requests (shadows) alone
    keep_audio_quota_mb: int = 10_000
    batch_files: int = 50
    batch_days: int = 7
    min_free_mb: int = 256

    def sources(self) -> dict[str, str]:
        """Folder or hub id of each role in use.

        silero-vad is none of them: it is installed with the node, as the engine is."""
        sources = {"model": self.model}
        if self.vad_model not in SILERO:
            sources["vad"] = self.vad_model
        if self.punc_model is not None:
            sources["punc"] = self.punc_model
        return sources

    def decode_options(self) -> dict[str, object]:
        """The options that change the text; they are part of the version's digest."""
        return {
            "engine": self.engine,
            "hotwords": list(self.hotwords),
            "itn": self.itn,
            "language": self.language,
        }
