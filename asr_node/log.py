"""Events as JSON lines on stderr; never audio, never text of a transcript."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

EVENTS: Final = logging.getLogger("asr_node")
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    EVENTS.log(level, name, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Our events keep their fields; what libraries log becomes `library.log`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
        }
        if record.name == EVENTS.name:
            line |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        else:
            line |= {"event": "library.log", "logger": record.name, "message": record.getMessage()}
        request_id = REQUEST_ID.get()  # of the request whose code logs
        if request_id is not None:
            line.setdefault("request_id", request_id)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to stderr as it is by then: who exchanged it may have closed the one before."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Where logging itself would keep one."""


def configure() -> None:
    """Once, by the command line. Libraries are heard from WARNING on."""
    handler = _Stderr()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the client is told already
    EVENTS.setLevel(logging.INFO)
