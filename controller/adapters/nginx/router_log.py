"""The access log as the engine reads it."""

from __future__ import annotations

from pathlib import Path

from controller.adapters.nginx.access_log import AccessLogReader, Request
from controller.adapters.nginx.log_reader import Position
from controller.engine.records import Served


class RouterLog:
    """Implements the AccessLog port."""

    def __init__(self, path: Path) -> None:
        self._reader = AccessLogReader(path)
        self._reader.skip()

    @property
    def position(self) -> str | None:
        position = self._reader.position
        return None if position is None else str(position)

    def resume(self, position: str) -> None:
        self._reader.resume(Position.parse(position))

    def read(self) -> list[Served]:
        return [_served(request) for request in self._reader.read()]


def _served(request: Request) -> Served:
    """What the last node measured is not charged to the first: where a canary failed, the answer
    is stable's. Nor is the spool a node, which had what none could serve (on a Unix socket): it
    keeps a request with 202, and a stream it turns away, after a handshake, by 1013."""
    attempts = tuple(a for a in request.attempts if not a.address.startswith("unix:"))
    of_spool = len(attempts) < len(request.attempts)
    at_once = len(attempts) == 1
    return Served(
        pool=request.pool,
        decided_by=request.decided_by,
        key_hash=request.key_hash,
        status=503 if of_spool and request.status == 101 else request.status,
        attempts=tuple((attempt.address, attempt.status) for attempt in attempts),
        at=request.at,
        seconds=attempts[0].seconds if attempts else None,
        audio_seconds=request.audio_seconds,
        model_seconds=request.model_seconds if at_once else None,
        characters=request.characters if at_once else None,
        group=request.group,
        waited_seconds=request.seconds,
        request_id=request.request_id,
        shadow=request.shadow,
        kept=of_spool and request.status == 202,
    )
