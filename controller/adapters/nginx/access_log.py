"""The router's access log, read as it grows: each request with every attempt to serve it."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# nginx separates attempts by ", " and pools (after an internal redirect) by " : ".
_SEPARATOR: Final = re.compile(r", | : ")
_MOST_AT_ONCE: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attempt:
    """One node's try. `status` None: no answer was awaited (the client left, or no node of
    the pool was in service); `seconds` None likewise."""

    address: str
    status: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Request:
    """One line. `pool` is where the request was sent first: "" where none was asked.
    `decided_by` is a rule's kind, "percent", or "stable" where there was nothing to decide.
    The measures at the end are those of the node that answered, which is the last attempt's;
    None where it said nothing (a stream, a replay, an error)."""

    at: float  # seconds since the epoch, when the answer ended
    request_id: str
    method: str
    path: str
    status: int
    request_bytes: int
    seconds: float
    pool: str
    group: str
    decided_by: str
    bucket: int | None
    key_hash: str
    version: str
    node: str
    attempts: tuple[Attempt, ...]
    audio_seconds: float | None = None
    model_seconds: float | None = None
    characters: int | None = None
    shadow: bool = False  # a copy of it was sent to the version that is only listened to


def parse_line(line: str) -> Request | None:
    """The request of a line; None for a half line or one of something else."""
    try:
        value: dict[str, Any] = json.loads(line)
        return Request(
            at=float(value["ts"]),
            request_id=value["request_id"],
            method=value["method"],
            path=value["path"],
            status=int(value["status"]),
            request_bytes=int(value["request_length"]),
            seconds=float(value["request_time"]),
            pool=value["pool"],
            group=value["group"],
            decided_by=value["decided_by"],
            bucket=int(value["bucket"]) if value["bucket"] else None,
            key_hash=value["key_hash"],
            version=value["version"],
            node=value["node"],
            attempts=parse_attempts(
                value["upstream_addr"], value["upstream_status"], value["upstream_response_time"]
            ),
            audio_seconds=_measure(value.get("audio_seconds", "")),
            model_seconds=_measure(value.get("model_seconds", "")),
            characters=_number(value.get("characters", "")),
            shadow=value.get("shadow") == "1",
        )
    except (ValueError, KeyError, TypeError):
        return None


def parse_attempts(addresses: str, statuses: str, times: str) -> tuple[Attempt, ...]:
    """`"a, b : c"` and the like, in step: `a, b` in one pool, then `c` in the next."""
    if not addresses:
        return ()
    columns = [_SEPARATOR.split(text) for text in (addresses, statuses, times)]
    longest = max(len(column) for column in columns)
    rows = zip(*(column + ["-"] * (longest - len(column)) for column in columns), strict=True)
    return tuple(Attempt(a, _number(s), _seconds(t)) for a, s, t in rows)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _measure(text: str) -> float | None:
    """Seconds in a node's own words: what is no number that can be is left out."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _seconds(text: str) -> float | None:
    return None if text in {"-", ""} else float(text)


class AccessLogReader:
    """Gives each complete line once. A log that was moved away is read to its end first; one
    that became shorter is read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None
        self._offset = 0

    @property
    def position(self) -> tuple[int, int] | None:
        """How far it was read: inode and offset in bytes. None where no log was there yet."""
        return None if self._inode is None else (self._inode, self._offset)

    def resume(self, position: tuple[int, int]) -> None:
        """Go on where another reader of this log was."""
        self._inode, self._offset = position

    def skip(self) -> None:
        """Leave out what is there already."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return
        self._inode, self._offset = found.st_ino, found.st_size

    def read(self) -> list[Request]:
        """The requests since the last look that were meant for a pool; at most 8 MiB at once,
        so that a long absence is caught up with in several looks."""
        requests = (parse_line(line) for line in self._new_lines())
        return [request for request in requests if request is not None and request.pool]

    def _new_lines(self) -> list[str]:
        previous = self._path.with_suffix(".log.1")
        current = _inode(self._path)
        moved = self._inode is not None and current != self._inode
        if moved and _inode(previous) == self._inode and (rest := self._take(previous)):
            return rest  # to its end, and only then the new one
        if current is None:
            return []
        if current != self._inode:
            self._inode, self._offset = current, 0
        return self._take(self._path)

    def _take(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                complete, newline, _ = file.read(_MOST_AT_ONCE).rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(complete) + len(newline)
        return complete.decode(errors="replace").split("\n") if complete else []


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
