"""Stand-ins written once: an engine without a model, and audio without a recording.

The engine runs in a real worker process. A test holds the other end: `FakeEngine` in the test
and `WorkerEngine` in the worker meet in hidden files of the model's folder.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_node.errors import DeviceFailed, LoadFailed
from asr_node.recognizer import (
    SAMPLE_RATE,
    Capabilities,
    DecodeOptions,
    Samples,
    Transcript,
    Word,
)
from asr_node.settings import Settings

CAPABILITIES = Capabilities(frozenset({"auto", "zh"}), itn=True)
ENGINE = "tests.asr_node.node_fakes:WorkerEngine"
PATIENCE_SECONDS = 60.0


class Flag:
    """A threading.Event that another process sees: a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self) -> None:
        self._file.touch()

    def clear(self) -> None:
        self._file.unlink(missing_ok=True)

    def is_set(self) -> bool:
        return self._file.exists()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> None:
        until = time.monotonic() + seconds
        while not self.is_set() and time.monotonic() < until:
            time.sleep(0.002)


class Slot:
    """A value that another process sees: a file, replaced in one step."""

    def __init__(self, file: Path, default: Any) -> None:
        self._file = file
        self._default = default

    def get(self) -> Any:
        return pickle.loads(self._file.read_bytes()) if self._file.exists() else self._default

    def set(self, value: Any) -> None:
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(pickle.dumps(value))
        fresh.replace(self._file)


class FakeRecognizer:
    """Answers with what it was asked. While `gate` is closed, inference does not end.

    `deadly`: audio of so many samples ends the process by that signal. `fault`: what it raises.
    `leaks_bytes`: with each utterance, for ever.
    `short_of_memory`: with so many utterances or more at once, off the CPU, torch's own error.
    `device_failed`: off the CPU, what torch raises where a GPU fell off the bus."""

    def __init__(self, folder: Path) -> None:
        self.gate = Flag(folder / "gate")
        self.running = Flag(folder / "running")
        self._warm = Flag(folder / "warm")
        self._heard = folder / "heard"
        self._capabilities = Slot(folder / "capabilities", CAPABILITIES)
        self._fault = Slot(folder / "fault", None)
        self._deadly = Slot(folder / "deadly", {})
        self._short = Slot(folder / "short", None)
        self._leaks = Slot(folder / "leaks", 0)
        self._device_failed = Flag(folder / "device_failed")

    @property
    def warmed_up(self) -> bool:
        return self._warm.is_set()

    @property
    def heard(self) -> list[tuple[int, DecodeOptions]]:
        return [(size, options) for batch in self.batches for size, options in batch]

    @property
    def batches(self) -> list[list[tuple[int, DecodeOptions]]]:
        """What was transcribed together: sizes in samples."""
        if not self._heard.exists():
            return []
        with self._heard.open("rb") as file:
            end = self._heard.stat().st_size
            batches = []
            while file.tell() < end:
                batches.append(pickle.load(file))
            return batches

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities.get()

    @capabilities.setter
    def capabilities(self, value: Capabilities) -> None:
        self._capabilities.set(value)

    @property
    def fault(self) -> Exception | None:
        return self._fault.get()

    @fault.setter
    def fault(self, value: Exception | None) -> None:
        self._fault.set(value)

    @property
    def deadly(self) -> Mapping[int, int]:
        return self._deadly.get()

    @deadly.setter
    def deadly(self, value: Mapping[int, int]) -> None:
        self._deadly.set(value)

    @property
    def short_of_memory(self) -> int | None:
        return self._short.get()

    @short_of_memory.setter
    def short_of_memory(self, value: int | None) -> None:
        self._short.set(value)

    @property
    def device_failed(self) -> Flag:
        return self._device_failed

    @property
    def leaks_bytes(self) -> int:
        return self._leaks.get()

    @leaks_bytes.setter
    def leaks_bytes(self, value: int) -> None:
        self._leaks.set(value)


class WorkerRecognizer(FakeRecognizer):
    """The end that the worker holds."""

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__(folder)
        self.device = device
        self._leaked: list[bytes] = []

    def warm_up(self) -> None:
        self._warm.set()

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> list[Transcript]:
        self.running.set()
        self.gate.wait()
        for samples in batch:
            if samples.size in self.deadly:
                os.kill(os.getpid(), self.deadly[samples.size])
                signal.pause()
        self._leaked += [b"x" * self.leaks_bytes for _ in batch]
        if self.device != "cpu" and self.short_of_memory is not None:
            self._run_out_of_memory(len(batch))
        if self.device != "cpu" and self.device_failed.is_set():
            self._lose_device()
        with self._heard.open("ab") as file:
            file.write(pickle.dumps([(samples.size, options) for samples in batch]))
        if self.fault is not None:
            raise self.fault
        text = f"itn={options.itn} language={options.language}"
        if options.hotwords:
            text += f" hotwords={'|'.join(options.hotwords)}"
        words = spoken(text) if options.timestamps else ()
        return [Transcript(text, f"<|zh|>{text}", "zh", words) for _ in batch]

    def _run_out_of_memory(self, utterances: int) -> None:
        import torch

        if utterances >= self.short_of_memory:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def _lose_device(self) -> None:
        import torch

        raise torch.AcceleratorError("CUDA error: unspecified launch failure")


class FakeEngine:
    """`loading` closed: still loading. `fault`: why it cannot be loaded."""

    name = "fake 1.0"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        hidden = folder / ".fake"  # no part of the model's digest
        hidden.mkdir(exist_ok=True)
        self.recognizer = FakeRecognizer(hidden)
        self.loading = Flag(hidden / "loading")
        self._fault = Slot(hidden / "engine_fault", None)
        self._no_room = Slot(hidden / "no_room", False)
        self._gpus = Slot(hidden / "gpus", None)

    @property
    def fault(self) -> str | None:
        return self._fault.get()

    @fault.setter
    def fault(self, value: str | None) -> None:
        self._fault.set(value)

    @property
    def no_room(self) -> bool:
        """Off the CPU, for the model itself."""
        return self._no_room.get()

    @no_room.setter
    def no_room(self, value: bool) -> None:
        self._no_room.set(value)

    @property
    def gpus(self) -> int | None:
        """None: as many as are asked for, and "auto" takes none."""
        return self._gpus.get()

    @gpus.setter
    def gpus(self, value: int | None) -> None:
        self._gpus.set(value)


class WorkerEngine(FakeEngine):
    """The end that the worker holds."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Path(settings.model))

    def resolve(self) -> Mapping[str, Path]:
        return {"model": self.folder}

    def load(self, folders: Mapping[str, Path], device: str) -> WorkerRecognizer:
        self.loading.wait()
        if self.fault is not None:
            raise LoadFailed(self.fault)
        if self.no_room and device != "cpu":
            raise RuntimeError("CUDA failed with error out of memory")
        if device not in {"auto", "cpu"} and self.gpus == 0:
            raise DeviceFailed(f"device {device} was asked for, but there are 0 CUDA devices")
        found = ("cuda:0" if self.gpus else "cpu") if device == "auto" else device
        return WorkerRecognizer(folders["model"] / ".fake", found)

    def load_voice_activity(self, folders: Mapping[str, Path]) -> Loudness:
        return Loudness()


class Loudness:
    """Finds speech where it is not silent, in steps of 10 ms."""

    def speech(self, samples: Samples) -> list[tuple[int, int]]:
        step = SAMPLE_RATE // 100
        frames = samples[: samples.size // step * step].reshape(-1, step)
        loud = np.concatenate([[False], np.abs(frames).max(axis=1) > 0.01, [False]])
        edges = np.flatnonzero(loud[1:] != loud[:-1]) * step
        return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def spoken(text: str, seconds: float = 0.1) -> tuple[Word, ...]:
    """Each word of `text` in turn, of the same length."""
    words = enumerate(text.split())
    return tuple(Word(i * seconds, (i + 1) * seconds, word) for i, word in words)


def tone(seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    times = np.arange(int(seconds * rate)) / rate
    return (0.1 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def encoded(
    samples: np.ndarray,
    rate: int = SAMPLE_RATE,
    container: str = "WAV",
    subtype: str | None = None,
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()
