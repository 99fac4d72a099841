"""Files that a speech node must survive: broken, absurd, or something else altogether."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Final

import av
import numpy as np

from tests.asr_node.node_fakes import encoded, tone

Maker = Callable[[Random], bytes]

# Containers with the codec that FFmpeg can write into them, and a rate that the codec takes.
CONTAINERS: Final = {
    "wav": ("pcm_s16le", 16_000),
    "w64": ("pcm_s16le", 16_000),
    "aiff": ("pcm_s16be", 16_000),
    "caf": ("pcm_s16be", 16_000),
    "flac": ("flac", 16_000),
    "mp3": ("libmp3lame", 16_000),
    "ogg": ("libopus", 48_000),
    "adts": ("aac", 16_000),
    "ipod": ("aac", 16_000),
    "mov": ("aac", 16_000),
    "webm": ("libopus", 48_000),
    "matroska": ("pcm_s16le", 16_000),
    "mpeg": ("mp2", 16_000),
}
MAGICS: Final = (
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    b"fLaC\x00\x00\x00\x22",
    b"OggS\x00\x02" + bytes(8),
    b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
    b"\xff\xfb\x90\x64",
    b"\xff\xf1\x50\x80",
    b"\x00\x00\x00\x20ftypM4A \x00\x00\x02\x00",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01",
    b"FORM\x7f\xff\xff\xffAIFFCOMM",
    b"caff\x00\x01\x00\x00desc",
    b"#!AMR\n",
    b"#!AMR-WB\n",
    b"\x00\x00\x01\xba\x44\x00",
)
ADDRESS: Final = "http://127.0.0.1:9/clip.wav"
PLAYLISTS: Final = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
    "#EXTM3U\n{name}\n",
    "ffconcat version 1.0\nfile '{name}'\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"
    "a=control:{name}\n",
    "[playlist]\nFile1={name}\nNumberOfEntries=1\n",
    '<?xml version="1.0"?><MPD><Period><BaseURL>{name}</BaseURL></Period></MPD>',
    '<asx version="3.0"><entry><ref href="{name}"/></entry></asx>',
)


@cache
def muxed(container: str, seconds: float = 0.6) -> bytes:
    codec, rate = CONTAINERS[container]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        samples = tone(seconds, rate).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def any_container(random: Random) -> bytes:
    return muxed(random.choice(sorted(CONTAINERS)))


def truncated(random: Random) -> bytes:
    """Mostly within the header: there is where parsers trust what they read."""
    whole = any_container(random)
    return whole[: random.randrange(1, min(len(whole), random.choice((64, 512, 8_192))))]


def flipped(random: Random) -> bytes:
    broken = bytearray(any_container(random))
    reach = min(len(broken), random.choice((64, 512, len(broken))))
    for _ in range(random.randrange(1, 24)):
        broken[random.randrange(4, reach)] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(broken)


def spliced(random: Random) -> bytes:
    """The head of one file and the tail of another."""
    head, tail = any_container(random), any_container(random)
    return head[: random.randrange(len(head))] + tail[random.randrange(len(tail)) :]


def without_samples(random: Random) -> bytes:
    return random.choice([encoded(tone(0.0)), encoded(tone(0.0), container="FLAC"), b""])


def one_millisecond(random: Random) -> bytes:
    container, subtype = random.choice([("WAV", None), ("FLAC", None), ("OGG", "OPUS")])
    return encoded(tone(0.001), container=container, subtype=subtype)


def many_channels(random: Random) -> bytes:
    channels = random.choice((3, 6, 7, 8))
    samples = np.tile(tone(0.3)[:, None], (1, channels))
    return encoded(samples, container=random.choice(("WAV", "FLAC")))


def high_rate(random: Random) -> bytes:
    rate = random.choice((96_000, 192_000, 384_000, 655_350))
    return encoded(np.tile(tone(0.2, rate)[:, None], (1, random.choice((1, 8)))), rate)


def not_numbers(random: Random) -> bytes:
    samples = tone(0.5).astype(np.float64)
    absurd = random.choice((np.nan, np.inf, -np.inf, 1e300, -1e38, 5e-324))
    samples[random.randrange(samples.size) :: random.randrange(1, 50)] = absurd
    return encoded(samples, subtype=random.choice(("FLOAT", "DOUBLE")))


def wave(
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    align: int | None = None,
    tag: int = 1,
    declared: int | None = None,
    fmt_size: int = 16,
    samples: bytes = bytes(8_000),
) -> bytes:
    """A WAV file whose header says what it is told to say."""
    align = channels * bits // 8 if align is None else align
    byte_rate = rate * align & 0xFFFFFFFF
    fmt = struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align & 0xFFFF, bits)
    size = len(samples) if declared is None else declared
    chunks = b"fmt " + struct.pack("<I", fmt_size) + fmt + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", size + 36 & 0xFFFFFFFF) + b"WAVE" + chunks + samples


def lying_wave(random: Random) -> bytes:
    lies = (
        {"declared": 0xFFFFFFFF},
        {"declared": 0x7FFFFFFF},
        {"declared": 0},
        {"fmt_size": 0xFFFFFFFF},
        {"fmt_size": 2},
        {"channels": 0},
        {"channels": 65_535},
        {"channels": 512},
        {"align": 0},
        {"align": 65_535},
        {"bits": 0},
        {"bits": 65_535},
        {"rate": 0},
        {"rate": 1},
        {"rate": 0x7FFFFFFF},
        {"rate": 0xFFFFFFFF},
        {"rate": random.randrange(1, 400)},
        {"tag": random.randrange(65_536)},
        {"tag": 0xFFFE},
    )
    return wave(**random.choice(lies))


def lying_flac(random: Random) -> bytes:
    """STREAMINFO stands at 8: block sizes (2 x 2 bytes), frame sizes (2 x 3), then rate,
    channels, bits and the number of samples in 8 bytes."""
    broken = bytearray(muxed("flac"))
    match random.randrange(4):
        case 0:
            broken[8:12] = struct.pack(">HH", *random.choice([(16, 65_535), (0, 0), (65_535, 1)]))
        case 1:
            broken[12:18] = b"\xff" * 6
        case 2:
            broken[18:26] = random.randbytes(8)
        case _:
            broken[21:26] = b"\xff" * 5
    return bytes(broken)


def lying_mp4(random: Random) -> bytes:
    """Sizes, counts and durations in the index, each far beyond what the file holds."""
    broken = bytearray(muxed(random.choice(("ipod", "mov"))))
    for atom in random.sample((b"mvhd", b"mdhd", b"stts", b"stsz", b"stsc", b"stco", b"trak"), 2):
        at = broken.find(atom)
        if at < 0:
            continue
        for offset in random.sample(range(at - 4, at + 28, 4), 2):
            lie = random.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x00FFFFFF, 0, 1))
            broken[offset : offset + 4] = struct.pack(">I", lie)
    return bytes(broken)


def any_index_bomb(random: Random) -> bytes:
    return mp4_index_bomb(random.choice((10_000_000, 80_000_000, 0x7FFFFFFF)))


def mp4_index_bomb(frames: int) -> bytes:
    """Five kilobytes whose index says that they hold so many frames, in one chunk."""
    broken = bytearray(muxed("ipod"))
    stts, stsz, stsc = (broken.find(name) for name in (b"stts", b"stsz", b"stsc"))
    broken[stts + 8 : stts + 20] = struct.pack(">III", 1, frames, 1_024)
    broken[stsz + 8 : stsz + 16] = struct.pack(">II", 1, frames)
    broken[stsc + 8 : stsc + 24] = struct.pack(">IIII", 1, 1, frames, 1)
    return bytes(broken)


@cache
def silence(hours: float) -> bytes:
    """A FLAC frame holds 65,535 equal samples in 14 bytes: hours in some kilobytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=8_000)
        stream.layout, stream.format = "mono", "s16"
        quiet = np.zeros((1, 1_440_000), np.int16)
        for _ in range(int(hours * 20)):
            frame = av.AudioFrame.from_ndarray(quiet, format="s16", layout="mono")
            frame.sample_rate = 8_000
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def hours_of_silence(_: Random) -> bytes:
    return silence(1.0)


def magic_and_noise(random: Random) -> bytes:
    return random.choice(MAGICS) + random.randbytes(random.randrange(0, 20_000))


def playlist(random: Random) -> bytes:
    names = ("/etc/hostname", "file:///etc/hostname", ADDRESS, "concat:/etc/hostname|a.wav")
    return random.choice(PLAYLISTS).format(name=random.choice(names)).encode()


def something_else(random: Random) -> bytes:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clip.wav", bytes(5_000_000))
    return random.choice(
        (
            zipped.getvalue(),
            b"\x7fELF\x02\x01\x01" + random.randbytes(2_000),
            b"%PDF-1.7\n" + random.randbytes(2_000),
            b"<!DOCTYPE html><html><body>" + b"<p>clip.wav</p>" * 200,
            b"\x89PNG\r\n\x1a\n" + random.randbytes(500),
            b"\x1f\x8b\x08" + random.randbytes(500),
            b'{"data": null}' * 50,
            "好".encode("gb18030") * 3_000,
            bytes(random.randrange(1, 10_000)),
            random.randbytes(random.randrange(1, 10_000)),
        )
    )


FILES: Final[dict[str, Maker]] = {
    maker.__name__: maker
    for maker in (
        truncated,
        flipped,
        spliced,
        without_samples,
        one_millisecond,
        many_channels,
        high_rate,
        not_numbers,
        lying_wave,
        lying_flac,
        lying_mp4,
        any_index_bomb,
        hours_of_silence,
        magic_and_noise,
        playlist,
        something_else,
    )
}
