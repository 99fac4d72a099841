"""Uploads become samples: mono float32 at 16 kHz."""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from asr_node.errors import RequestRefused
from asr_node.ffmpeg import OPTIONS
from asr_node.recognizer import SAMPLE_RATE, Samples

INTERLEAVED: Final = "flt"  # with planes of its own for each of 8 channels or more, PyAV crashes
RATES: Final = range(4_000, 768_001)  # Hz; what is outside is no recording but a trap
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
SPILL_BYTES: Final = 600 * SAMPLE_RATE * 4  # ten minutes; longer ones wait on disk


def decode(file: IO[bytes], max_seconds: float) -> Samples:
    """Blocking: call it in a thread. Raises RequestRefused: 400 for anything that is not audio,
    503 where a long recording finds no room on the disk.

    The length that a header declares is not believed: only samples count."""
    try:
        with av.open(file, mode="r", options=OPTIONS, metadata_errors="ignore") as container:
            return _collected(_chunks(container), max_seconds)
    except av.error.MemoryError as error:
        raise _refused("The file asks for more memory than a recording needs.") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise _refused(f"The file is not audio that can be read: {_why(error)}.") from error
    except OSError as error:  # of our own file: FFmpeg's are above
        if error.errno not in FULL:
            raise
        raise RequestRefused(
            "This node's disk has no room for so long a recording. Ask another node, or send it "
            "in parts of less than ten minutes.",
            status=503,
            code="disk_full",
        ) from error


def _collected(chunks: Iterable[Samples], max_seconds: float) -> Samples:
    """Hours of audio are gigabytes: they are mapped from a file that is already deleted, so that
    the kernel keeps in memory only what is in use."""
    limit = int(max_seconds * SAMPLE_RATE) * 4  # bytes of float32
    with tempfile.SpooledTemporaryFile(max_size=SPILL_BYTES) as spool:
        for chunk in chunks:
            spool.write(chunk.data)
            if spool.tell() > limit:
                raise _refused(
                    f"The audio is longer than {max_seconds:g} seconds.", "audio_too_long"
                )
        size = spool.tell()
        if size == 0:
            raise _refused("The file holds no audio samples.", "audio_empty")
        if size > SPILL_BYTES:
            spool.flush()
            mapped = mmap.mmap(spool.fileno(), size, access=mmap.ACCESS_READ)
            return np.frombuffer(mapped, dtype=np.float32)
        spool.seek(0)
        return np.frombuffer(spool.read(), dtype=np.float32)


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
