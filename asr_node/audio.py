"""Uploads become samples: mono float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from asr_node.errors import RequestRefused
from asr_node.recognizer import SAMPLE_RATE, Samples

# Only containers of audio. FFmpeg also knows playlists, which name other files and addresses:
# such an upload could read the node's disk or its network.
FORMATS: Final = "wav,w64,flac,mp3,ogg,mov,mp4,m4a,matroska,webm,aac,amr,aiff,caf,mpeg"
NO_PROTOCOL: Final = "none"
INTERLEAVED: Final = "flt"  # with planes of its own for each of 8 channels or more, PyAV crashes
OPTIONS: Final = {"format_whitelist": FORMATS, "protocol_whitelist": NO_PROTOCOL}


def decode(file: IO[bytes], max_seconds: float) -> Samples:
    """Blocking: call it in a thread. Raises RequestRefused for anything that is not audio."""
    samples = bytearray()
    limit = int(max_seconds * SAMPLE_RATE) * 4  # bytes of float32
    try:
        with av.open(file, mode="r", options=OPTIONS, metadata_errors="ignore") as container:
            for chunk in _chunks(container):
                samples += chunk.tobytes()
                if len(samples) > limit:
                    raise _refused(
                        f"The audio is longer than {max_seconds:g} seconds.", "audio_too_long"
                    )
    except (av.error.FFmpegError, ValueError) as error:
        raise _refused(f"The file is not audio that can be read: {_why(error)}.") from error
    if not samples:
        raise _refused("The file holds no audio samples.", "audio_empty")
    return np.frombuffer(samples, dtype=np.float32)


def _chunks(container: av.container.InputContainer) -> Iterator[Samples]:
    if not container.streams.audio:
        raise _refused("The file has no audio stream.")
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format=INTERLEAVED, rate=SAMPLE_RATE)
    for frame in _frames(container, stream):
        for resampled in resampler.resample(frame):
            yield _mono(resampled.to_ndarray().reshape(-1, resampled.layout.nb_channels))


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[av.AudioFrame | None]:
    """Frames, then None, which flushes the resampler.

    Like players, pass over a damaged packet (trailing junk is common in MP3), but not over
    many: half a transcript that looks whole is worse than an error."""
    damaged = 0
    for packets, packet in enumerate(container.demux(stream)):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            damaged += 1
            if damaged > 2 + packets // 20:
                raise _refused("The audio is damaged in many places.") from error
    yield None


def _mono(channels: NDArray[Any]) -> Samples:
    """The mean; FFmpeg's own downmix makes two equal channels 1.4 times as loud."""
    if not np.isfinite(channels).all():
        raise _refused("The audio holds samples that are not numbers (NaN or infinity).")
    mean: Samples = channels.mean(axis=1, dtype=np.float32)
    return np.clip(mean, -1.0, 1.0)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refused(message: str, code: str = "invalid_audio") -> RequestRefused:
    return RequestRefused(message, param="file", code=code)
