"""What a node that ended said last: the line of its log that says why."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from typing import Any, Final

_MOST_CHARACTERS: Final = 300
_ERRORS: Final = frozenset({"error", "critical"})
_SAID_IN: Final = ("reason", "error", "text", "message")  # of an event of a node's log
_SECRETS: Final = (
    (re.compile(r"(://)[^/\s@]+@"), r"\1…@"),  # https://user:password@…
    (re.compile(r"(?i)(bearer\s+)[^\s\"',;)&]+"), r"\1…"),
    (re.compile(r"(?i)((?:token|password|secret|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;)&]+"),
     r"\1…"),
)  # fmt: skip


def last_words(log: str, since: datetime.datetime | None = None) -> str:
    """Of the end of a node's log, in one line without secrets: its last error; else what was no
    event (a traceback's end, the linker's complaint), else its last warning; "" where there is
    none of them. What an earlier run said, before `since`, is not of this end."""
    lines = _since([(line, _event(line)) for line in log.splitlines() if line.strip()], since)
    errors = [_said(event) for _, event in lines if event and event["level"] in _ERRORS]
    plain = [line for line, event in lines if event is None]
    warnings = [_said(event) for _, event in lines if event and event["level"] == "warning"]
    said = next((found[-1] for found in (errors, plain, warnings) if found), "")
    return _shortened(_without_secrets(" ".join(said.split())))


def _event(line: str) -> dict[str, Any] | None:
    """None where it is no line of the node's own."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"ts", "level", "event"} <= found.keys() else None


def _since(
    lines: Sequence[tuple[str, dict[str, Any] | None]], since: datetime.datetime | None
) -> Sequence[tuple[str, dict[str, Any] | None]]:
    """Those after the last event that is older."""
    if since is None:
        return lines
    old = [n for n, (_, event) in enumerate(lines) if event and _is_before(event["ts"], since)]
    return lines[old[-1] + 1 :] if old else lines


def _is_before(said_at: object, since: datetime.datetime) -> bool:
    try:
        return datetime.datetime.fromisoformat(str(said_at)) < since
    except (ValueError, TypeError):  # no time, or one without its zone
        return False


def _said(event: dict[str, Any]) -> str:
    words = next((event[key] for key in _SAID_IN if event.get(key)), "")
    if not words:
        words = str(event.get("traceback", "")).strip().rpartition("\n")[2]
    return f"{event['event']}: {words}" if words else str(event["event"])


def _without_secrets(words: str) -> str:
    for pattern, instead in _SECRETS:
        words = pattern.sub(instead, words)
    return words


def _shortened(words: str) -> str:
    return words if len(words) <= _MOST_CHARACTERS else words[: _MOST_CHARACTERS - 1] + "…"
