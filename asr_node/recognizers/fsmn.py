"""FunASR's fsmn-vad, where a folder or hub id of it is given as --vad-model."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_node.errors import LoadFailed
from asr_node.recognizer import SAMPLE_RATE, Samples

FSMN: Final = "FsmnVADStreaming"
MILLISECOND: Final = SAMPLE_RATE // 1000  # samples
SHORTEST: Final = SAMPLE_RATE // 10  # shorter audio holds no word
END_SILENCE_MS: Final = 300  # a shorter pause ends no speech


def load_fsmn(folder: Path, threads: int) -> FsmnVoiceActivity:
    """Raises LoadFailed."""
    try:
        with redirect_stdout(StringIO()):
            from funasr import AutoModel

            model = AutoModel(
                model=str(folder),
                device="cpu",
                ncpu=threads,
                max_end_silence_time=END_SILENCE_MS,
                disable_update=True,
                disable_pbar=True,
            )
    except Exception as error:
        raise LoadFailed(f"FunASR cannot load {folder}: {error}") from error
    if type(model.model).__name__ != FSMN:
        raise LoadFailed(f"--vad-model {folder} is a {type(model.model).__name__}, and no {FSMN}")
    return FsmnVoiceActivity(model)


class FsmnVoiceActivity:
    def __init__(self, model: Any) -> None:
        self._model = model

    def speech(self, samples: Samples) -> list[tuple[int, int]]:
        if samples.size < SHORTEST:
            return []
        found = self._model.generate(input=np.ascontiguousarray(samples))
        milliseconds = found[0]["value"] if found else []
        return apart(
            (start * MILLISECOND, min(end * MILLISECOND, samples.size))
            for start, end in milliseconds
        )


def apart(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch are one: the model pads each by a fifth of a second."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
