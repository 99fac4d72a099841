"""Pieces of a stream become samples: mono float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av
import numpy as np

from asr_node.errors import StreamRefused
from asr_node.recognizer import SAMPLE_RATE, Samples
from asr_node.websocket.control import INVALID_DATA

BYTES: Final = 2  # of a sample: signed, little-endian
FULL_SCALE: Final = 32_768.0


def check_whole_samples(data: bytes) -> None:
    """Raises StreamRefused."""
    if len(data) % BYTES:
        raise StreamRefused(
            f"A piece of {len(data)} bytes is not 16-bit PCM; send whole samples, or name the "
            "file's format as wav_format.",
            INVALID_DATA,
            code="invalid_pcm",
        )


class Pcm:
    """Keeps the resampler's state from piece to piece, so that no seam is heard."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = (
            None
            if rate == SAMPLE_RATE
            else av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        )

    def samples(self, data: bytes) -> Iterator[Samples]:
        """In pieces of at most a second, so that a huge message holds nobody up for long.

        Raises StreamRefused."""
        check_whole_samples(data)
        step = self._rate * BYTES
        for start in range(0, len(data), step):
            yield self._converted(np.frombuffer(data[start : start + step], dtype="<i2"))

    def rest(self) -> Samples:
        """What the resampler still holds, at the end of a file."""
        if self._resampler is None:
            return np.zeros(0, dtype=np.float32)
        return _joined(self._resampler.resample(None))

    def _converted(self, piece: np.ndarray[tuple[int], np.dtype[np.int16]]) -> Samples:
        if self._resampler is None:
            return piece.astype(np.float32) / FULL_SCALE
        frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self._rate
        return _joined(self._resampler.resample(frame))


def _joined(frames: list[av.AudioFrame]) -> Samples:
    pieces = [frame.to_ndarray().reshape(-1) for frame in frames]
    return np.concatenate([np.zeros(0, dtype=np.float32), *pieces])
