"""<state>/drills: a folder for each drill with its journal, log and report.

A drill that ended has a report and no journal. The lock is the kernel's (flock): whoever finds a
journal and can lock the folder knows that the drill's process is gone."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controller.adapters.files import sync_folder, write_atomically
from controller.core.drill.journal import Journal
from controller.core.drill.report import Outcome, Report
from controller.core.errors import NotFound, Refused

log = logging.getLogger(__name__)
_JOURNAL: Final = "journal.json"
_UNREADABLE: Final = "journal.unreadable.json"
_REPORT: Final = "report.json"
_TEXT: Final = "report.md"
_TOLD: Final = "told"
_ID: Final = re.compile(r"[0-9]{8}t[0-9]{6}z-[a-z-]{1,40}")


class DrillFolder:
    """Ids sort by time: `20260101t033000z-kill-stable`."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir.absolute() / "drills"

    def of(self, drill_id: str) -> Path:
        """The drill's own folder. Raises NotFound for what is no id."""
        if not _ID.fullmatch(drill_id):
            raise NotFound(f"there is no drill {drill_id!r}")
        return self.path / drill_id

    def create(self, drill_id: str) -> Path:
        folder = self.of(drill_id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_folder(self.path)
        return folder

    @contextmanager
    def locked(self, wait_seconds: float = 0.0) -> Iterator[None]:
        """Raises Refused where a drill is under way. The lock never outlives its holder."""
        descriptor = self.lock(wait_seconds)
        try:
            yield
        finally:
            os.close(descriptor)

    def lock(self, wait_seconds: float = 0.0) -> int:
        """As `locked`. The open descriptor is the lock, also in a process that inherits it: it
        is free once the last of them has closed it, or died."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, time.monotonic() + wait_seconds)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def write_journal(self, journal: Journal) -> None:
        """It is on the disk when this returns."""
        self._write(journal.id, _JOURNAL, json.dumps(journal.to_dict()))

    def journals(self) -> list[Journal]:
        """Of drills that did not end, or are under way; oldest first."""
        found = (_journal(path) for path in sorted(self.path.glob(f"*/{_JOURNAL}")))
        return [journal for journal in found if journal is not None]

    def has_journals(self) -> bool:
        """Readable or not."""
        return any(self.path.glob(f"*/{_JOURNAL}"))

    def set_unreadable_aside(self) -> None:
        """Keep the journals that this version cannot read under another name, and tell each
        once: nobody can undo what they name. For the holder of the lock."""
        for path in sorted(self.path.glob(f"*/{_JOURNAL}")):
            if _journal(path) is None and path.exists():
                aside = path.replace(path.with_name(_UNREADABLE))
                log.error("drill.journal_unreadable nothing of it is undone path=%s", aside)

    def finish(self, report: Report, text: str) -> None:
        """Write the report, unless there is one, then forget the journal."""
        folder = self.of(report.id)
        if not (folder / _REPORT).exists():
            self._write(report.id, _TEXT, text)
            content = json.dumps(report.to_dict(), ensure_ascii=False, indent=1)
            self._write(report.id, _REPORT, content)
        (folder / _JOURNAL).unlink(missing_ok=True)
        sync_folder(folder)

    def reports(self, limit: int | None = None) -> list[Report]:
        """Newest first."""
        paths = sorted(self.path.glob(f"*/{_REPORT}"), reverse=True)
        found = (self._report(path.parent.name) for path in paths[:limit])
        return [report for report in found if report is not None]

    def newest_of_each(self) -> list[Report]:
        """Of each drill those since it last passed, and that one; newest first."""
        found: list[Report] = []
        passed: set[str] = set()
        for path in sorted(self.path.glob(f"*/{_REPORT}"), reverse=True):
            _, _, drill = path.parent.name.partition("-")  # what is older need not be read
            report = self._report(path.parent.name) if drill not in passed else None
            if report is None:
                continue
            found.append(report)
            if report.outcome is Outcome.PASSED:
                passed.add(drill)
        return found

    def report(self, drill_id: str) -> Report:
        """Raises NotFound while there is none, Refused where this version cannot read it."""
        text = _read(self.of(drill_id) / _REPORT)
        if text is None:
            raise NotFound(f"there is no report of a drill {drill_id!r}")
        try:
            return Report.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise Refused(
                f"the drill {drill_id} has ended, but another version wrote its report, which "
                f"this one cannot read ({error}); `rollout drill report {drill_id}` shows its text"
            ) from error

    def text(self, drill_id: str) -> str:
        """The report as Markdown. Raises NotFound while there is none."""
        text = _read(self.of(drill_id) / _TEXT)
        if text is None:
            raise NotFound(f"there is no report of a drill {drill_id!r}")
        return text

    def untold(self) -> list[Report]:
        """Those whose end the audit does not know yet; oldest first."""
        paths = sorted(self.path.glob(f"*/{_REPORT}"))
        untold = (p.parent.name for p in paths if not (p.parent / _TOLD).exists())
        found = (self._report(drill_id) for drill_id in untold)
        return [report for report in found if report is not None]

    def mark_told(self, drill_id: str) -> None:
        self._write(drill_id, _TOLD, "")

    def _report(self, drill_id: str) -> Report | None:
        """None for one that this version cannot read."""
        try:
            return self.report(drill_id)
        except Refused as error:
            log.error("drill.report_unreadable id=%s error=%s", drill_id, error)
            return None

    def _write(self, drill_id: str, name: str, text: str) -> None:
        folder = self.of(drill_id)
        write_atomically(folder / name, text)
        sync_folder(folder)


def _lock(descriptor: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise Refused("a drill is under way, and only one may be") from error
        time.sleep(0.05)


def _journal(path: Path) -> Journal | None:
    """None for one that was finished meanwhile, or that this version cannot read."""
    text = _read(path)
    try:
        return Journal.from_dict(json.loads(text)) if text is not None else None
    except (ValueError, TypeError, KeyError):
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
