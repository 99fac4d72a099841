"""A request on its way into the spool. Until it is accepted it does not exist."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from controller.adapters.files import sync_folder
from controller.adapters.spool_entry import BODY
from controller.core.errors import SpoolFull
from controller.core.spool import Asked, SpoolEntry


class Incoming:
    """`write` the body, `accept`, and `close` in any case. Blocking."""

    def __init__(
        self,
        name: str,
        folder: Path,
        asked: Asked,
        length: int,
        on_accept: Callable[[Incoming, Asked], SpoolEntry],
        on_close: Callable[[Incoming], None],
    ) -> None:
        self.name = name
        self.folder = folder
        self.length = length
        self._asked = asked
        self._on_accept = on_accept
        self._on_close = on_close
        self._digest = hashlib.sha256()
        self._file = -1

    @property
    def client(self) -> str:
        return self._asked.client

    def write(self, chunk: bytes) -> None:
        """Raises SpoolFull where the disk is."""
        try:
            if self._file < 0:
                self._open()
            self._digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            raise no_disk(error) from error

    def accept(self) -> SpoolEntry:
        """The body is complete. Raises SpoolFull where the disk is."""
        try:
            if self._file < 0:
                self._open()
            os.fsync(self._file)
            sync_folder(self.folder)
            asked = replace(self._asked, sha256=self._digest.hexdigest())
            return self._on_accept(self, asked)
        except OSError as error:
            raise no_disk(error) from error

    def close(self) -> None:
        """What was not accepted is gone."""
        if self._file >= 0:
            os.close(self._file)
        shutil.rmtree(self.folder, ignore_errors=True)  # it has another name once accepted
        self._on_close(self)

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self.folder / BODY, flags, 0o600)


def no_disk(error: OSError) -> SpoolFull:
    return SpoolFull(f"the disk does not take it: {error.strerror}")
