"""A small disk of our own, that can be filled: for what must go on where a disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BALLAST = "ballast"


@contextmanager
def small_disk(path: Path, mebibytes: int = 8) -> Iterator[Path]:
    """Mounted at `path`, a folder that exists. Skips the test where we may not mount."""
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", str(path)]
    if os.geteuid() != 0:
        pytest.skip("a disk of our own needs root")
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk of our own needs root that may mount, which a container has not")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """To the last byte."""
    size = 1024 * 1024
    with (path / _BALLAST).open("ab", buffering=0) as file:
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def make_room(path: Path) -> None:
    (path / _BALLAST).unlink()
