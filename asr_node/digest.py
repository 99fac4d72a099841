"""Digests that say exactly what a node serves.

The controller computes the same values on its own: tests/digest_vector.json holds both to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path


def model_digest(folder: Path) -> str:
    """SHA-256 (hex) over the sorted lines `{sha256} {relative posix path}\\n` of the files.

    Hidden files and folders (a leading dot) are left out. Links are followed to regular
    files, since hub caches link their files. Raises OSError where a file cannot be read."""
    lines = sorted(
        f"{_sha256(path)} {path.relative_to(folder).as_posix()}\n" for path in _files(folder)
    )
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def version_digest(models: Mapping[str, str], options: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical JSON of model digests by role and of decode options."""
    canonical = json.dumps(
        {"models": dict(models), "options": dict(options)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
