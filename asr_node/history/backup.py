"""A copy of the SQLite history while it is in use, checked before it counts."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FOLDER: Final = "backups"
PREFIX: Final = "history-"
SUFFIX: Final = ".sqlite3"
UNFINISHED: Final = ".part"
STAMP: Final = "%Y%m%dT%H%M%SZ"


class BackupFailed(Exception):
    """Nothing was added; earlier backups are as they were."""


def back_up(source: Path, folder: Path) -> Path:
    """Blocking. Writers go on meanwhile: the copy is of one moment. Raises BackupFailed."""
    target = folder / f"{PREFIX}{datetime.now(UTC):{STAMP}}{SUFFIX}"
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob(f"*{UNFINISHED}*"):  # by a node that was killed
            left.unlink()
        unfinished.touch(mode=0o600)
        _copy(source, unfinished)
        _check(unfinished)
        _settle(unfinished, target)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def backups(folder: Path) -> list[Path]:
    """The newest first."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), reverse=True)


def taken_at(backup: Path) -> datetime | None:
    """None for a file that somebody else has put there."""
    stamp = backup.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def prune(folder: Path, keep: int) -> None:
    ours = [backup for backup in backups(folder) if taken_at(backup) is not None]
    for old in ours[keep:]:
        old.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """In one step: page by page, every commit of the writer would start it over."""
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")  # one file, no journal beside it


def _check(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupFailed(f"the copy failed its integrity check: {found}")


def _settle(unfinished: Path, target: Path) -> None:
    """On the disk before it has its name."""
    for path in (unfinished, target.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            if path is unfinished:
                unfinished.rename(target)
        finally:
            os.close(descriptor)
