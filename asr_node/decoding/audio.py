"""What is in a file, as samples: mono float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from asr_node.decoding.collecting import Collected
from asr_node.decoding.ffmpeg import OPTIONS
from asr_node.errors import RequestRefused
from asr_node.recognizer import SAMPLE_RATE, Samples

INTERLEAVED: Final = "flt"  # with planes of its own for each of 8 channels or more, PyAV crashes
RATES: Final = range(4_000, 768_001)  # Hz; what is outside is no recording but a trap


def decode(file: IO[bytes], max_seconds: float) -> Samples:
    """All of it, in this process: for files that one trusts. Raises RequestRefused."""
    with Collected() as collected:
        for chunk in chunks(file, max_seconds):
            collected.add(chunk)
        return collected.samples()


def chunks(file: IO[bytes], max_seconds: float) -> Iterator[Samples]:
    """About a second each. Raises RequestRefused: 400 for anything that is not audio, or longer.

    The length that a header declares is not believed: only samples count."""
    count = 0
    try:
        with av.open(file, mode="r", options=OPTIONS, metadata_errors="ignore") as container:
            for chunk in _chunks(container):
                count += chunk.size
                if count > max_seconds * SAMPLE_RATE:
                    raise _refused(
                        f"The audio is longer than {max_seconds:g} seconds.", "audio_too_long"
                    )
                yield chunk
    except (av.error.MemoryError, MemoryError) as error:
        raise _refused("The file asks for more memory than a recording needs.") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise _refused(f"The file is not audio that can be read: {_why(error)}.") from error
    if count == 0:
        raise _refused("The file holds no audio samples.", "audio_empty")


def _chunks(container: av.container.InputContainer) -> Iterator[Samples]:
    if not container.streams.audio:
        raise _refused("The file has no audio stream.")
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format=INTERLEAVED, rate=SAMPLE_RATE)
    for piece in _seconds(_frames(container, stream)):
        for resampled in resampler.resample(piece):
            yield _mono(resampled.to_ndarray().reshape(-1, resampled.layout.nb_channels))


def _seconds(frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame | None]:
    """Pieces of a second, then None, which flushes the resampler.

    A frame of Opus is 20 ms long: handling each by itself cost more than decoding it."""
    fifo = av.AudioFifo()
    for frame in frames:
        if frame.sample_rate not in RATES:
            raise _refused(f"The audio claims {frame.sample_rate} samples a second.")
        frame.pts = None  # gaps in it are no concern of ours
        fifo.write(frame)
        while piece := fifo.read(frame.sample_rate):
            yield piece
    rest = fifo.read(0, partial=True)
    if rest is not None:
        yield rest
    yield None


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[av.AudioFrame]:
    """Like players, pass over a damaged packet (trailing junk is common in MP3), but not over
    many: half a transcript that looks whole is worse than an error."""
    damaged = 0
    for packets, packet in enumerate(container.demux(stream)):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            damaged += 1
            if damaged > 2 + packets // 20:
                raise _refused("The audio is damaged in many places.") from error


def _mono(channels: NDArray[Any]) -> Samples:
    """The mean; FFmpeg's own downmix makes two equal channels 1.4 times as loud."""
    if not np.isfinite(channels).all():
        raise _refused("The audio holds samples that are not numbers (NaN or infinity).")
    mean: Samples = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    return np.clip(mean, -1.0, 1.0)


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refused(message: str, code: str = "invalid_audio") -> RequestRefused:
    return RequestRefused(message, param="file", code=code)
