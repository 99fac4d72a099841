"""What the router's access log says about the requests that a canary received."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.nginx.access_log import AccessLogReader, Request


@dataclass(frozen=True, slots=True)
class Received:
    """A request that went to the canary first; `at` is when the router turned to its node, in
    seconds since the epoch: after the whole body had come, so never earlier than its start."""

    at: float
    version: str


def read_received(access_log: Path) -> list[Received]:
    """Of the whole log, in no order."""
    reader = AccessLogReader(access_log)
    found: list[Received] = []
    while requests := reader.read():
        found += received(requests)
    return found


def received(requests: Iterable[Request]) -> list[Received]:
    return [
        Received(request.at - sum(attempt.seconds or 0.0 for attempt in request.attempts),
                 request.group)
        for request in requests
        if request.pool == "canary"
    ]  # fmt: skip


def seconds_to_last(found: Sequence[Received], began: float, until: float) -> float:
    """From `began` to the last request that a canary received before `until` (when the next
    canary may get some); 0.0 where it received none after `began`."""
    return max((r.at - began for r in found if began < r.at < until), default=0.0)
