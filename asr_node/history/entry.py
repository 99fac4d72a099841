"""One row of the history, before it has a cursor."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_clock = threading.Lock()
_last = 0  # milliseconds since 1970, times 4096, plus a counter


class Status(StrEnum):
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`itn_text` is what was answered, `raw_text` is as the model wrote it. Seconds as named;
    `processing_seconds` are those from the upload to the answer, the wait included, and
    `first_partial_seconds` those from a stream's first speech to its first words, in the row of
    the utterance that had them."""

    id: str
    request_id: str
    node: str
    created_time: datetime
    filename: str
    version: str
    digest: str | None
    device: str
    priority: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    hotwords: tuple[str, ...] = ()
    language: str | None = None
    duration_seconds: float | None = None
    processing_seconds: float
    first_partial_seconds: float | None = None
    raw_text: str = ""
    itn_text: str = ""
    status: Status
    error: str | None = None

    def columns(self) -> dict[str, Any]:
        return {item.name: storable(getattr(self, item.name)) for item in fields(self)}


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): ids of one process sort by the time they were made."""
    global _last
    with _clock:
        _last = max(_last + 1, time.time_ns() // 1_000_000 << 12)
        stamp = _last
    value = (stamp >> 12) << 80 | 7 << 76 | (stamp & 0xFFF) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def now() -> datetime:
    return datetime.now(UTC)


def storable(value: Any) -> Any:
    """Clients choose file names and fields; PostgreSQL takes no NUL, and UTF-8 no half of a
    surrogate pair. One such row must not stop the others."""
    match value:
        case StrEnum():
            return value.value
        case str():
            return value.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
        case tuple() | list():
            return [storable(item) for item in value]
        case dict():
            return {storable(name): storable(item) for name, item in value.items()}
        case _:
            return value
