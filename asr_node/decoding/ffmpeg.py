"""What FFmpeg may do for an upload: which formats, and how much memory a file may ask for."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path
from typing import Final

from asr_node.log import event

# Only containers of audio. FFmpeg also knows playlists, which name other files and addresses:
# such an upload could read the node's disk or its network.
FORMATS: Final = "wav,w64,flac,mp3,ogg,mov,mp4,m4a,matroska,webm,aac,amr,aiff,caf,mpeg"
NO_PROTOCOL: Final = "none"

# Codecs that speech comes in. FFmpeg knows 200 more, of games and of the last century, whose
# decoders few have ever attacked or mended; and pictures, which nobody asked for.
CODECS: Final = (
    "aac,aac_latm,ac3,eac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,alac,amrnb,amrwb,"
    "libopencore_amrnb,libopencore_amrwb,flac,g722,g726,g726le,g729,gsm,gsm_ms,ilbc,mp1,mp1float,"
    "mp2,mp2float,mp3,mp3float,opus,libopus,speex,vorbis,"
    "pcm_alaw,pcm_mulaw,pcm_s8,pcm_u8,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,"
    "pcm_s64be,pcm_s64le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le"
)
MAX_STREAMS: Final = 16
# In PCM, FFmpeg looks for other codecs in disguise (DTS on old CDs), which takes it ten times as
# long as to decode: 4 ms of each WAV file. One packet is the least that it can be told.
PROBE_PACKETS: Final = 1
OPTIONS: Final = {
    "format_whitelist": FORMATS,
    "codec_whitelist": CODECS,
    "protocol_whitelist": NO_PROTOCOL,
    "max_streams": str(MAX_STREAMS),
    "max_probe_packets": str(PROBE_PACKETS),
}

# The index of an MP4 takes 24 bytes a frame, and five kilobytes can claim a hundred million
# frames. This is enough for the frames of 16 hours.
MAX_ALLOCATION_BYTES: Final = 64 * 1024 * 1024


def limit_allocations(max_bytes: int = MAX_ALLOCATION_BYTES) -> None:
    """No single piece of memory that FFmpeg asks for is larger; then it fails as if there were
    none. For the whole process, once. Says so where it cannot be done (not on Linux)."""
    library = _libavutil()
    if library is None:
        reason = "the library that PyAV uses was not found"
        event("ffmpeg.unlimited", level=logging.WARNING, reason=reason)
        return
    max_alloc = ctypes.CDLL(str(library)).av_max_alloc
    max_alloc.argtypes, max_alloc.restype = [ctypes.c_size_t], None
    max_alloc(max_bytes)


def _libavutil() -> Path | None:
    """The one that is loaded: opening it again gives the same, with the same limit."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    lines = maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    mapped = (line.split(maxsplit=5)[5] for line in lines if "libavutil" in line)
    return next(map(Path, mapped), None)
