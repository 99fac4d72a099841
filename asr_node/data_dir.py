"""The node's own folder: one node at a time, and the place of its temporary files."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr_node.errors import StartRefused


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Create `folder`, hold its lock until the process ends or the block does.

    The kernel drops the lock with the process, so a killed node leaves nothing to clean up.
    Raises StartRefused where another node holds it or the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StartRefused(
            f"the data folder {folder} cannot be written: {error.strerror}; nothing was started. "
            "Give another --data-dir."
        ) from error
    with lock:
        _take(lock.fileno(), folder)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        with _temporary_files_in(folder / "tmp"):
            yield folder


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = (folder / "lock").read_text(encoding="ascii").strip() or "unknown"
        raise StartRefused(
            f"the data folder {folder} belongs to a running node (pid {owner}); that node goes "
            "on, nothing was started. Stop it, or give another --data-dir."
        ) from error


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Uploads spool here and not into a small /tmp; what a crash left is removed first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder.resolve())
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
