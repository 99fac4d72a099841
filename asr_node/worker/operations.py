"""What a worker can be asked to do. Everything here is slow and blocks."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asr_node.digest import model_digest
from asr_node.errors import DeviceFailed, LoadFailed, OutOfMemory
from asr_node.memory import DeviceMemory
from asr_node.recognizer import (
    Capabilities,
    DecodeOptions,
    Recognizer,
    Samples,
    Transcript,
    VoiceActivity,
)
from asr_node.recognizers import make_engine
from asr_node.settings import Settings
from asr_node.worker.memory import (
    clear_device_cache,
    gpu_memory,
    is_device_failure,
    is_out_of_memory,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    capabilities: Capabilities
    device: str  # where it really is: "cpu" where "auto" was asked for


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one batch. `batches`: sizes that went through the model, smaller after it was short
    of memory."""

    transcripts: list[Transcript]
    seconds: float
    batches: tuple[int, ...]
    gpu_memory: tuple[DeviceMemory, ...]


class Operations:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = make_engine(settings)
        self._folders: Mapping[str, Path] = {}
        self._recognizer: Recognizer | None = None
        self._voice_activity: VoiceActivity | None = None

    def resolve(self) -> dict[str, str]:
        """The digest of each role's files, read before they are loaded.

        Raises LoadFailed or StartRefused."""
        self._folders = self._engine.resolve()
        return {role: model_digest(folder) for role, folder in self._folders.items()}

    def load(self, device: str) -> Loaded:
        """On another device than now, the old one stays where the new one fails; on the same,
        there is none then.

        Raises LoadFailed; DeviceFailed where that is the device's fault; OutOfMemory where it has
        no room for it."""
        if self._recognizer is not None and self._recognizer.device == device:
            self.unload()  # there may be no room for two
        with _translated(device):
            recognizer = self._engine.load(self._folders, device)
        self._recognizer = recognizer
        if self._voice_activity is None:
            self._voice_activity = self._engine.load_voice_activity(self._folders)
        self.clear_cache()
        return Loaded(recognizer.capabilities, recognizer.device)

    def is_loaded(self) -> bool:
        return self._recognizer is not None

    def warm_up(self) -> None:
        recognizer = self._loaded()
        with _translated(recognizer.device):
            recognizer.warm_up()

    def transcribe(self, batch: Sequence[Samples], options: DecodeOptions) -> Heard:
        """Raises OutOfMemory where not even a single one of them fits; DeviceFailed; else whatever
        the model raises."""
        began = time.monotonic()
        sizes: list[int] = []
        transcripts = self._in_halves(batch, options, sizes)
        seconds = time.monotonic() - began
        return Heard(transcripts, seconds, tuple(sizes), gpu_memory())

    def speech(self, samples: Samples) -> list[tuple[int, int]]:
        if self._voice_activity is None:
            raise LoadFailed("nothing is loaded that finds speech")
        return self._voice_activity.speech(samples)

    def unload(self) -> None:
        self._recognizer = None
        self.clear_cache()

    def clear_cache(self) -> None:
        gc.collect()
        clear_device_cache()

    def _loaded(self) -> Recognizer:
        if self._recognizer is None:
            raise LoadFailed("no model is loaded")
        return self._recognizer

    def _in_halves(
        self, batch: Sequence[Samples], options: DecodeOptions, sizes: list[int]
    ) -> list[Transcript]:
        recognizer = self._loaded()
        try:
            with _translated(recognizer.device):
                transcripts = recognizer.transcribe(batch, options)
            sizes.append(len(batch))
            return transcripts
        except OutOfMemory:
            if len(batch) == 1:
                raise
        # Outside of the handler: the traceback there holds on to the tensors.
        self.clear_cache()
        half = len(batch) // 2
        return [
            *self._in_halves(batch[:half], options, sizes),
            *self._in_halves(batch[half:], options, sizes),
        ]


@contextmanager
def _translated(device: str) -> Iterator[None]:
    """Raises OutOfMemory and DeviceFailed for a GPU's; where the CPU's memory is out, there is no
    way on."""
    try:
        yield
    except Exception as error:
        if device == "cpu" or isinstance(error, DeviceFailed):
            raise
        if is_out_of_memory(error):
            raise OutOfMemory(f"out of memory on {device}: {error}") from error
        if is_device_failure(error):
            raise DeviceFailed(f"{device} failed: {error}") from error
        raise
