"""Samples, from pieces."""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final, Self

import numpy as np

from asr_node.errors import RequestRefused
from asr_node.recognizer import SAMPLE_RATE, Samples

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
SPILL_BYTES: Final = 600 * SAMPLE_RATE * 4  # ten minutes; longer ones wait on disk


class Collected:
    """Hours of audio are gigabytes: they are mapped from a file that is already deleted, so that
    the kernel keeps in memory only what is in use."""

    def __init__(self) -> None:
        self._pieces: list[Samples] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What `samples` gave stays."""
        if self._file is not None:
            self._file.close()

    @property
    def is_whole(self) -> bool:
        """There is nothing to join."""
        return self._file is None and len(self._pieces) == 1

    def fits(self, piece: Samples) -> bool:
        """Into memory; else `add` writes to the disk."""
        return self._bytes + piece.nbytes <= SPILL_BYTES

    def add(self, piece: Samples) -> None:
        """Raises RequestRefused: 503 where a long recording finds no room on the disk."""
        fits = self.fits(piece)
        self._bytes += piece.nbytes
        self._pieces.append(piece)
        if not fits:
            self._spill()

    def samples(self) -> Samples:
        """Once, in the end."""
        if self.is_whole:
            return self._pieces[0]
        if self._file is None:
            return np.concatenate(self._pieces)
        mapped = mmap.mmap(self._file.fileno(), self._bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, dtype=np.float32)

    def _spill(self) -> None:
        with _refused_where_the_disk_fails():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (__exit__ closes)
            for piece in self._pieces:
                _write(self._file, piece.data.cast("B"))
            self._pieces.clear()


def _write(file: IO[bytes], view: memoryview) -> None:
    """All of it; a disk that is almost full takes a part."""
    while view:
        view = view[file.write(view) :]


@contextmanager
def _refused_where_the_disk_fails() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestRefused(
            f"This node's disk cannot take so long a recording: {error.strerror}. Ask another "
            "node, or send it in parts of less than ten minutes.",
            status=503,
            code="disk_full" if error.errno in FULL else "disk_failed",
        ) from error
