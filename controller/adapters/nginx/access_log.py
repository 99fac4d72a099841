"""The router's access log, read as it grows: each request with every attempt to serve it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.adapters.nginx.log_reader import LogReader, Position

# nginx separates attempts by ", " and pools (after an internal redirect) by " : ".
_SEPARATOR: Final = re.compile(r", | : ")


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
    """Gives the request of each complete line once."""

    def __init__(self, path: Path) -> None:
        self._log = LogReader(path)

    @property
    def position(self) -> Position | None:
        """How far it was read. None where no log was there yet."""
        return self._log.position

    def resume(self, position: Position) -> None:
        """Go on where another reader of this log was."""
        self._log.position = position

    def skip(self) -> None:
        """Leave out what is there already."""
        self._log.skip()

    def read(self) -> list[Request]:
        """The requests since the last look that were meant for a pool; of a long absence, the
        oldest ones first, and not all at once."""
        requests = (parse_line(line) for line in self._log.lines())
        return [request for request in requests if request is not None and request.pool]
