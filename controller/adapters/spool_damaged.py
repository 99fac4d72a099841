"""Kept requests whose files make no sense: set aside, for whoever wants to look at them."""

from __future__ import annotations

import datetime
import logging
import os
import shutil
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)
PREFIX: Final = "damaged-"


class DamagedEntries:
    def __init__(self) -> None:
        self._folders: list[Path] = []

    def know(self, folder: Path) -> None:
        """One that was set aside before."""
        self._folders.append(folder)

    def set_aside(self, folder: Path, order: int, now: datetime.datetime) -> None:
        """When, says the folder itself. %r of an error has no path, a secret here."""
        try:
            at = now.timestamp()
            os.utime(folder, (at, at))
            self._folders.append(folder.rename(folder.with_name(PREFIX + folder.name)))
        except OSError as error:
            log.error("spool.not_set_aside order=%s reason=%r", order, error)

    def sweep(self, now: datetime.datetime, max_age_seconds: float) -> None:
        """Delete what is too old."""
        oldest = now.timestamp() - max_age_seconds
        self._folders = [folder for folder in self._folders if not _forget(folder, oldest)]


def _forget(folder: Path, oldest: float) -> bool:
    """Whether it is gone, being too old."""
    try:
        if folder.stat().st_mtime > oldest:
            return False
    except OSError:  # somebody else deleted it
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return True  # or the next start tries again
