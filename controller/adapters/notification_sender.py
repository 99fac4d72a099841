"""The process that sends one message: `python -m controller.adapters.notification_sender SECONDS`
reads it from stdin as JSON; where that has only a URL, the URL is checked and nothing is sent.

It answers with one word on stdout: sent, url, connection, `http STATUS` or refused. Nothing else
leaves it."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from typing import Any


class _Watcher(logging.Handler):
    """Keeps of what apprise logs only the kind of failure. Records are never written anywhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.failure = "refused"

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if found := re.search(r"\berror=(\d{3})\b", text):
            self.failure = f"http {found[1]}"
        elif "onnection error" in text:
            self.failure = "connection"


def main() -> None:
    signal.alarm(int(float(sys.argv[1])) + 5)  # also when the controller that waits is gone
    answer = sys.stdout
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # plugins may print
    message = json.load(sys.stdin)
    answer.write(_send(message))
    answer.flush()
    os._exit(0)  # no thread of a plugin keeps us


def _send(message: dict[str, Any]) -> str:
    watcher = _Watcher()
    _silence(watcher)
    import apprise  # late: the alarm is set

    asset = apprise.AppriseAsset(
        app_id="asr-rollout", storage_mode=apprise.PersistentStoreMode.MEMORY
    )
    sender = apprise.Apprise(asset=asset)
    if not sender.add(message["url"]):
        return "url"
    if "body" not in message:  # only whether the URL is understood was asked
        return "sent"
    kind = apprise.NotifyType.WARNING if message["urgent"] else apprise.NotifyType.INFO
    taken = sender.notify(
        title=message["title"],
        body=message["body"],
        notify_type=kind,
        body_format=apprise.NotifyFormat.TEXT,
    )
    return "sent" if taken else watcher.failure


def _silence(watcher: logging.Handler) -> None:
    """Loggers print URLs: nothing reaches a stream."""
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [watcher], False


if __name__ == "__main__":
    try:
        main()
    except Exception:  # a traceback would quote the URL
        os._exit(1)
