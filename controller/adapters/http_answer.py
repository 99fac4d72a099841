"""Reads the answer to one HTTP/1.1 request out of what has come so far (RFC 9112)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LARGEST_BYTES: Final = 256 * 1024
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """`kept`: the connection may be used again."""

    status: int
    body: bytes
    kept: bool


def read_answer(received: bytes, ended: bool) -> Answer | None:
    """None while more is to come. `ended`: the other side sends no more.

    Raises ValueError where it is no answer, is longer than 256 KiB, or was cut off."""
    if len(received) > LARGEST_BYTES:
        raise ValueError(f"more than {LARGEST_BYTES} bytes")
    head, found, rest = received.partition(_HEAD_END)
    if not found:
        _refuse_end(ended)
        return None
    version, status, headers = _read_head(head)
    body = _body(headers, rest, ended)
    if body is None:
        _refuse_end(ended)
        return None
    kept = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close" and not ended
    return Answer(status, body, kept)


def _refuse_end(ended: bool) -> None:
    if ended:
        raise ValueError("the connection was closed in the middle of the answer")


def _read_head(head: bytes) -> tuple[str, int, Mapping[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"no HTTP/1.1, but {first[:40]!r}")
    named = (line.partition(":") for line in lines)
    return version, int(rest[:3]), {name.strip().lower(): v.strip() for name, _, v in named}


def _body(headers: Mapping[str, str], rest: bytes, ended: bool) -> bytes | None:
    """None while it is not complete."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(rest)
    if "content-length" not in headers:
        return rest if ended else None
    length = int(headers["content-length"])
    if not 0 <= length <= LARGEST_BYTES:
        raise ValueError(f"a body of {length} bytes")
    return rest[:length] if len(rest) >= length else None


def _chunks(rest: bytes) -> bytes | None:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        size = int(line.partition(b";")[0], 16)
        if size < 0:
            raise ValueError(f"a chunk of {size} bytes")
        if size == 0:
            return body if rest.endswith(b"\r\n") else None  # trailers, or none, and a blank line
        if len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
