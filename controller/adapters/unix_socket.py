"""Unix sockets whose path is too long for the kernel. Standard library only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LONGEST_PATH: Final = 100  # the kernel takes 107 bytes, macOS 103


def is_short(path: Path) -> bool:
    """Whether a socket can have this path."""
    return len(os.fsencode(path)) <= _LONGEST_PATH


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name of `path` to bind or connect to while the block runs: a container may well have its
    socket in a folder whose name here is too long. Raises OSError where there is no such folder."""
    if is_short(path):
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
