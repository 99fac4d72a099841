"""Ogg/Opus files, written and read with PyAV."""

from pathlib import Path
from typing import Final

import av
import numpy as np

from models.recipe.speech import RATE, Samples

BITS_PER_SECOND: Final = 32_000


def write_opus(path: Path, samples: Samples) -> None:
    """Mono, 16 kHz. `bitexact` keeps the stream's serial number from being random."""
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = BITS_PER_SECOND
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def read(path: Path) -> Samples:
    """Any file as 16 kHz mono, -1..1: what a node makes of an upload."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [r for f in container.decode(audio=0) for r in resampler.resample(f)]
    frames += resampler.resample(None)
    return np.concatenate([f.to_ndarray()[0] for f in frames])
