"""Kept recordings, in a folder that never grows past its quota."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import wave
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final

import numpy as np

from asr_node.history.entry import now
from asr_node.log import event
from asr_node.recognizer import SAMPLE_RATE, Samples

FOLDER: Final = "audio"
STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")


class AudioFolder:
    """Its methods block. A recording that cannot be kept is an event, never an error: the
    transcript is worth more."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._folder = folder
        self._quota = quota_bytes
        self._lock = threading.Lock()
        self._sizes: dict[str, int] | None = None  # bytes by name; names sort by time
        self.degraded: str | None = None  # why the newest recording was not kept

    def keep(self, file: IO[bytes], filename: str, entry_id: str, created: datetime) -> None:
        """The upload as it came, whatever was read of it before."""

        def write(target: Path) -> None:
            file.seek(0)
            with target.open("wb") as kept:
                shutil.copyfileobj(file, kept)

        self._keep(_name(created, entry_id, _extension(filename)), write)

    def keep_samples(self, samples: Samples, entry_id: str, created: datetime) -> None:
        """What came without a file, such as a stream, as a WAV file."""

        def write(target: Path) -> None:
            with wave.open(str(target), "wb") as kept:
                kept.setnchannels(1)
                kept.setsampwidth(2)
                kept.setframerate(SAMPLE_RATE)
                kept.writeframes((samples * 32_767).astype(np.int16).tobytes())

        self._keep(_name(created, entry_id, ".wav"), write)

    def forget(self, days: int) -> None:
        """Remove what is older."""
        limit = f"{now() - timedelta(days=days):{STAMP}}"
        with self._lock:
            for name in [name for name in self._kept() if name < limit]:
                self._remove(name)

    def _keep(self, name: str, write: Callable[[Path], None]) -> None:
        target = self._folder / name
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write(target)
            with self._lock:
                self._kept()[name] = target.stat().st_size
                self._make_room()
            self.degraded = None
        except (OSError, ValueError) as error:  # ValueError: its sender has left, it is closed
            target.unlink(missing_ok=True)
            if isinstance(error, OSError):
                self.degraded = f"recordings are not kept: {error.strerror}"
            event("audio.not_kept", level=logging.WARNING, file=name, reason=str(error))

    def _kept(self) -> dict[str, int]:
        if self._sizes is None:
            found = sorted(self._folder.glob("*Z_*")) if self._folder.exists() else []
            self._sizes = {path.name: path.stat().st_size for path in found}
        return self._sizes

    def _make_room(self) -> None:
        kept = self._kept()
        while kept and sum(kept.values()) > self._quota:
            self._remove(min(kept))

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._kept().pop(name, None)


def _name(created: datetime, entry_id: str, extension: str) -> str:
    return f"{created:{STAMP}}_{entry_id}{extension}"


def _extension(filename: str) -> str:
    extension = Path(filename.replace("\0", "")).suffix
    return extension.lower() if EXTENSION.fullmatch(extension) else ".bin"
