"""A spool on a real disk, for one controller after another."""

from __future__ import annotations

import datetime
from pathlib import Path

from controller.adapters.spool_folder import SpoolFolder
from controller.core.spool import Asked, LateAnswer, SpoolEntry, SpoolLimits

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
ASKED = Asked("/v1/audio/transcriptions?a=b", "multipart/form-data; boundary=x")
TEXT = LateAnswer(200, "application/json", '{"text": "你好"}'.encode(), "v1-1", "v1")


class Spools:
    """One controller after another on the same folder, with a clock that is told the time."""

    def __init__(self, path: Path) -> None:
        self.path, self.limits, self.at = path, SpoolLimits(), NOON

    def open(self) -> SpoolFolder:
        folder = SpoolFolder(self.path, self.limits, lambda: self.at)
        folder.open()
        return folder

    def pass_seconds(self, seconds: float) -> None:
        self.at += datetime.timedelta(seconds=seconds)


def keep(folder: SpoolFolder, body: bytes = b"audio", asked: Asked = ASKED) -> SpoolEntry:
    incoming = folder.receive(asked, len(body))
    try:
        incoming.write(body)
        return incoming.accept()
    finally:
        incoming.close()
