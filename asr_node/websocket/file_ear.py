"""Listens to one file until it is whole."""

from __future__ import annotations

import struct
import tempfile
from typing import IO, Final

from asr_node.errors import RequestRefused, StreamRefused
from asr_node.recognizer import DecodeOptions
from asr_node.transcriber import Recording
from asr_node.websocket.control import PCM, TOO_BIG, Setup
from asr_node.websocket.conversation import Conversation
from asr_node.websocket.pcm import BYTES, check_whole_samples

IN_MEMORY: Final = 4 * 1024 * 1024  # bytes of a file; more goes to disk
WAV_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")


class FileEar:
    """Recognizes when everything is there, as a recording that was uploaded."""

    def __init__(self, talk: Conversation, setup: Setup, options: DecodeOptions) -> None:
        self._talk = talk
        self._setup = setup
        self._options = options
        self.failure: RequestRefused | None = None
        self._size = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        if setup.wav_format == PCM:
            self._file.write(bytes(WAV_HEADER.size))

    def adopt(self, setup: Setup, options: DecodeOptions) -> None:
        self._setup, self._options = setup, options

    @property
    def busy(self) -> bool:
        return self._size > 0

    async def hear(self, data: bytes) -> None:
        limit = self._talk.transcriber.node.settings.max_body_bytes
        if self._setup.wav_format == PCM:
            check_whole_samples(data)
        self._size += len(data)
        if self._size > limit:
            raise StreamRefused(f"The file is larger than {limit} bytes.", TOO_BIG)
        self._file.write(data)

    async def finish(self) -> None:
        setup, talk = self._setup, self._talk
        if not self._size:
            await talk.say(talk.results.final(setup, "", is_final=True))
            return
        request_id = talk.next_id()
        try:
            heard = await talk.recognize(self._recording(), request_id)
        except RequestRefused as error:
            self.failure = error
            await talk.say(talk.results.failure(setup, error, is_final=True))
            return
        await talk.say(
            talk.results.final(
                setup, heard.text, is_final=True, segments=heard.segments, request_id=request_id
            )
        )

    async def close(self) -> None:
        self._file.close()

    def _recording(self) -> Recording:
        setup = self._setup
        if setup.wav_format == PCM:
            self._file.seek(0)
            self._file.write(wav_header(setup.audio_fs, self._size))
        return Recording(self._file, setup.wav_name, self._options, setup.parameters)


def wav_header(rate: int, size: int) -> bytes:
    """Of `size` bytes of mono 16-bit PCM (RIFF, 1991)."""
    after_riff, after_fmt, plain_pcm, channels = WAV_HEADER.size - 8 + size, 16, 1, 1
    return WAV_HEADER.pack(
        *(b"RIFF", after_riff, b"WAVE", b"fmt ", after_fmt, plain_pcm, channels),
        *(rate, rate * BYTES, BYTES, 8 * BYTES, b"data", size),
    )
