"""Files that a request may name: those of one folder, and nothing that leads out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import IO, Final

from asr_node.errors import RequestRefused, StartRefused

# A pipe would block the open; a link could lead anywhere.
FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_folder(folder: Path | None) -> None:
    """Raises StartRefused."""
    if folder is not None and not folder.is_dir():
        raise StartRefused(
            f"--upload-dir {folder} is no folder; nothing was started. Make it first, or leave "
            "the option out."
        )


def open_inside(folder: Path | None, asked: str, max_bytes: int) -> IO[bytes]:
    """Blocking. Opened step by step below the folder's own descriptor, so that no link is
    followed, not even one that appears meanwhile. Raises RequestRefused: 403, 404 or 413."""
    if folder is None:
        raise _refused(
            "This node reads no files of its own machine: it was started without --upload-dir. "
            "Send the recording itself.",
            403,
            "path_not_allowed",
        )
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in _steps(folder, asked):
            inner = os.open(step, FLAGS, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        _check(os.fstat(descriptor), max_bytes)
        return os.fdopen(descriptor, "rb")
    except OSError as error:
        os.close(descriptor)
        raise _refused(
            f"There is no such file in the upload folder: {asked}. Links are not followed.",
            404,
            "file_not_found",
        ) from error
    except BaseException:
        os.close(descriptor)
        raise


def _steps(folder: Path, asked: str) -> tuple[str, ...]:
    path = PurePosixPath(asked)
    if path.is_absolute():
        bases = (folder.absolute(), folder.resolve())
        base = next((base for base in bases if path.is_relative_to(base)), None)
        path = path.relative_to(base) if base is not None else PurePosixPath("..")
    if ".." in path.parts or "\0" in asked:
        raise _refused(
            f"{asked} is outside the upload folder; name a file inside it.",
            403,
            "path_not_allowed",
        )
    return path.parts


def _check(found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused("What the path names is not a file.", 404, "file_not_found")
    if found.st_size > max_bytes:
        raise _refused(
            f"The file is larger than {max_bytes} bytes, this node's limit.", 413, "body_too_large"
        )


def _refused(message: str, status: int, code: str) -> RequestRefused:
    return RequestRefused(message, status=status, param="data", code=code)
