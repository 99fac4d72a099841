"""Recordings of copied requests that people may hear: taken from the nodes' data folders into one
of the review's own, and removed for good.

Nodes keep copies only where fleet.yaml says `review.keep_audio`. Both runtimes have the nodes'
folders on this machine, below the state folder, and they outlive the nodes."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

_ENTRY: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_NODE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DAY_SECONDS: Final = 86400


class ReviewAudio:
    """Its methods block."""

    def __init__(self, state_dir: Path) -> None:
        self._nodes = state_dir.resolve() / "nodes"
        self.folder = state_dir.resolve() / "review"

    def find(self, node: str, entry_id: str) -> Path | None:
        """The recording of a row of this node's history, where it is kept: by the node, or by the
        review already (its controller ended before a queue was made)."""
        if not (_ENTRY.fullmatch(entry_id) and _NODE.fullmatch(node)):
            return None  # they came over the network
        by_node = (self._nodes / node / "audio").glob(f"*Z_{entry_id}.*")
        return next(chain(by_node, self.folder.glob(f"{entry_id}.*")), None)

    def keep(self, name: str, recording: Path) -> Path:
        """Move it into the review's folder; there is never a second one. Raises OSError."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        return Path(shutil.move(recording, self.folder / f"{name}{recording.suffix}"))

    def remove(self, paths: Iterable[Path]) -> int:
        """Those of them that are kept copies, never an eval set's; how many there were."""
        ours = [path for path in paths if self.is_ours(path) and path.exists()]
        for path in ours:
            path.unlink(missing_ok=True)
        return len(ours)

    def is_ours(self, path: Path) -> bool:
        """By whatever name of the folders: a link may lead to them."""
        review, nodes = path.parent, path.parent.parent.parent
        return review.resolve() == self.folder.resolve() or nodes.resolve() == self._nodes.resolve()

    def older_than(self, days: float) -> list[Path]:
        """Also in the folders of nodes that are gone; 0 days: all."""
        limit = time.time() - days * _DAY_SECONDS
        return [path for path in self._all() if _written_at(path) <= limit]

    def _all(self) -> Iterator[Path]:
        yield from self.folder.glob("*")
        yield from self._nodes.glob("*/audio/*Z_*")


def _written_at(path: Path) -> float:
    """In seconds; never for what is gone meanwhile: nodes delete, too."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
