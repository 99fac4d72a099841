"""A log read as it grows, over rotation, truncation and half lines."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_MOST_AT_ONCE: Final = 8 * 1024 * 1024
_MARKED_BYTES: Final = 1024  # more than a line, whose beginning is its own
_QUIET_SECONDS: Final = 2.0  # after which no worker writes to a log that was moved away


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read, in bytes. `mark` is a checksum (CRC-32) of what stands before: an
    emptied file that has grown beyond it since, or a new one with the inode of a deleted one, is
    another file. None where nothing was read."""

    inode: int
    offset: int
    mark: int | None = None

    def __str__(self) -> str:
        parts = (self.inode, self.offset, self.mark)
        return ":".join(str(part) for part in parts if part is not None)

    @classmethod
    def parse(cls, text: str) -> Position:
        """Raises ValueError."""
        inode, offset, *mark = map(int, text.split(":"))
        return cls(inode, offset, mark[0] if mark else None)


class LogReader:
    """Gives each complete line of `path` once. What was moved, or copied, to `path`.1 is read to
    its end first, and then the new log from its beginning. What was moved away twice between two
    looks is not found."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._previous = path.with_name(f"{path.name}.1")
        self.position: Position | None = None  # None where no log was there yet

    def skip(self) -> None:
        """Leave out what is there already."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                self.position = Position(found.st_ino, found.st_size, _mark(file, found.st_size))
        except FileNotFoundError:
            return

    def lines(self) -> list[str]:
        """Those since the last look; at most 8 MiB, so that a long absence is caught up with in
        several looks."""
        if self.position is not None and not self._goes_on_in(self._path):
            if self._goes_on_in(self._previous, copy=True):
                if rest := self._take(self._previous):
                    return rest
                if not self._is_quiet(self._previous):
                    return []  # a worker that has not heard of the new log yet may write to it
            self.position = None
        if self.position is None and (inode := _inode(self._path)) is not None:
            self.position = Position(inode, 0)
        return self._take(self._path)

    def _goes_on_in(self, path: Path, copy: bool = False) -> bool:
        """Whether this is the file, or else a `copy` of it, that was read so far."""
        known = self.position
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                if known is None or found.st_size < known.offset:
                    return False
                if known.mark is not None and _mark(file, known.offset) != known.mark:
                    return False
                return found.st_ino == known.inode or (copy and known.mark is not None)
        except FileNotFoundError:
            return False

    def _take(self, path: Path) -> list[str]:
        known = self.position
        if known is None:
            return []
        try:
            with path.open("rb") as file:
                file.seek(known.offset)
                read = file.read(_MOST_AT_ONCE)
                complete, newline, _ = read.rpartition(b"\n")
                if not newline and len(read) == _MOST_AT_ONCE:
                    complete = read  # no line of ours is that long: a hole of a broken disk, say
                end = known.offset + len(complete) + len(newline)
                self.position = Position(known.inode, end, _mark(file, end))
        except FileNotFoundError:
            return []
        return complete.decode(errors="replace").split("\n") if complete else []

    def _is_quiet(self, path: Path) -> bool:
        try:
            return not 0 <= self._now() - path.stat().st_mtime < _QUIET_SECONDS
        except FileNotFoundError:
            return True


def _mark(file: BinaryIO, offset: int) -> int | None:
    begin = max(0, offset - _MARKED_BYTES)
    file.seek(begin)
    return zlib.crc32(file.read(offset - begin)) if offset else None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
