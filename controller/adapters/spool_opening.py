"""What a controller finds in the spool's folder when it begins, and heals there."""

from __future__ import annotations

import datetime
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.adapters import spool_entry
from controller.adapters.files import sync_folder
from controller.adapters.spool_damaged import PREFIX as DAMAGED
from controller.adapters.spool_damaged import DamagedEntries
from controller.core.spool import SpoolEntry

log = logging.getLogger(__name__)
COMING: Final = "coming-"  # begins the name of a folder that was not accepted yet
_NAME: Final = re.compile(r"\d{12}-[A-Za-z0-9_-]{43}")


def open_entries(
    path: Path, damaged: DamagedEntries, now: Callable[[], datetime.datetime]
) -> tuple[list[SpoolEntry], int]:
    """All that can be read, in the order of acceptance, and the last place in that order.

    Raises OSError where `path` cannot be read or made."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    sync_folder(path.parent)
    found, last_order = [], 0
    for folder in sorted(path.iterdir()):
        if folder.name.startswith((COMING, spool_entry.GONE)):  # not accepted, or deleted
            shutil.rmtree(folder, ignore_errors=True)
        elif folder.name.startswith(DAMAGED):
            damaged.know(folder)
        elif _NAME.fullmatch(folder.name):
            last_order = int(folder.name[:12])
            found.append(_take(folder, damaged, now))
    return [entry for entry in found if entry is not None], last_order


def _take(
    folder: Path, damaged: DamagedEntries, now: Callable[[], datetime.datetime]
) -> SpoolEntry | None:
    """No log has a path, nor the words of an error that may: it is a secret here."""
    order = int(folder.name[:12])
    try:
        entry = spool_entry.read_entry(folder)
        spool_entry.tidy(folder, entry)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        log.error("spool.entry_damaged order=%s reason=%r", order, error)
        damaged.set_aside(folder, order, now())
    except OSError as error:  # it may be whole: the next start looks again
        log.error("spool.entry_unreadable order=%s reason=%r", order, error)
    else:
        return entry
    return None
