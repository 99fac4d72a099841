"""Results of batches whose nodes are gone, one file each."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from controller.adapters.files import write_atomically
from controller.core.batch import node_of
from controller.core.errors import InvalidName

_KEPT: Final = datetime.timedelta(days=7)  # as nodes keep them


class BatchFolder:
    """Implements the engine's BatchResults. Raises InvalidName where an id is none."""

    def __init__(self, path: Path, now: Callable[[], datetime.datetime]) -> None:
        self._path = path
        self._now = now

    def has(self, batch_id: str) -> bool:
        return self._file(batch_id).exists()

    def keep(self, batch: Mapping[str, Any]) -> None:
        """Raises OSError."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._file(str(batch["id"])), json.dumps(batch, ensure_ascii=False))

    def find(self, batch_id: str) -> dict[str, Any] | None:
        """None where it is not kept, or was deleted."""
        try:
            text = self._file(batch_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found

    def delete(self, batch_id: str) -> None:
        """What was heard is gone, also from a full disk. The name stays for as long as a result
        would, so that a node that has the batch still does not bring it back."""
        os.truncate(self._file(batch_id), 0)

    def was_deleted(self, batch_id: str) -> bool:
        return self.has(batch_id) and self._file(batch_id).stat().st_size == 0

    def expire(self) -> None:
        """Remove what has been kept for a week."""
        before = (self._now() - _KEPT).timestamp()
        for file in self._path.glob("batch_*.json"):
            if file.stat().st_mtime < before:
                file.unlink(missing_ok=True)

    def _file(self, batch_id: str) -> Path:
        if node_of(batch_id) is None:
            raise InvalidName(f"{batch_id!r} is no id of a batch")
        return self._path / f"{batch_id}.json"
