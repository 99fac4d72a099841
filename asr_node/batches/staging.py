"""The audio of batches: on the disk before a batch is accepted, gone when it is done."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from asr_node.batches.store import StagedFile
from asr_node.errors import RequestRefused

FOLDER: Final = "batches"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CHUNK_BYTES: Final = 1024 * 1024
MIB: Final = 1024 * 1024


class NoRoom(RequestRefused):
    def __init__(self) -> None:
        super().__init__(
            "This node's disk has too little room for these files; nothing of them was kept. "
            "Send fewer, ask another node, or free space on its data folder.",
            status=507,
            param="files",
            code="insufficient_storage",
        )


@dataclass(frozen=True, slots=True)
class Upload:
    file: IO[bytes]
    filename: str


def check_room(data_dir: Path, coming_bytes: int, min_free_mb: int) -> None:
    """Raises NoRoom. An upload is on the disk twice for a moment: as it came, and as kept."""
    if shutil.disk_usage(data_dir).free < 2 * coming_bytes + min_free_mb * MIB:
        raise NoRoom


@contextmanager
def full_disk_refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoRoom from error
        raise


def stage(folder: Path, uploads: Sequence[Upload]) -> tuple[tuple[StagedFile, ...], str]:
    """The files, safe from a power cut, and a digest of names and contents. Blocking.

    Raises OSError, with nothing left behind."""
    digest = hashlib.sha256()
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir()
        staged = []
        for index, upload in enumerate(uploads):
            stored = f"{index:05d}"  # never the sender's name: it could be any path
            content = _copy(upload.file, folder / stored)
            digest.update(f"{content} {upload.filename}\0".encode("utf-8", "replace"))
            staged.append(StagedFile(upload.filename, stored))
        for path in (folder, folder.parent, folder.parent.parent):
            _sync(path)
    except BaseException:
        remove(folder)
        raise
    return tuple(staged), digest.hexdigest()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _copy(source: IO[bytes], target: Path) -> str:
    """Its SHA-256."""
    digest = hashlib.sha256()
    source.seek(0)
    with target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot sync folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
