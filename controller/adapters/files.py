"""Files that matter are written whole or not at all; and what is read of any file."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 65536


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` by `text` (UTF-8): readers and a crash see the old or the new, never a
    part. The new content is on the disk before this returns."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        if os.geteuid() == 0:  # what root writes for a container stays readable there
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """The names in it are on the disk, too: `write_atomically` alone does not say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The digest of a file's content, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def last_lines(path: Path, count: int = 1) -> str:
    """The end of a log, for a message to a person; "" where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").rstrip().splitlines()[-count:])
    except FileNotFoundError:
        return ""
