"""One kept request on the disk: a folder whose files say how far it is.

    asked.json    what was asked; with `body` it was on the disk before the 202
    body          the recording, as it came; deleted once nobody needs it
    failed.json   how many nodes in a row failed on it
    answer        a node's answer; it counts once answer.json is there, which says whose it is
    expired.json  nothing comes any more

One that is deleted loses its name first, in one step: half of it would look like another state.

Every file is written whole or not at all, and is on the disk, with its name, before the next step:
so a kill at any moment leaves one of these states."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from controller.adapters.files import sync_folder, write_atomically
from controller.core.spool import Asked, LateAnswer, SpoolEntry, SpoolState

BODY: Final = "body"
GONE: Final = "gone-"  # begins the name of a folder that is being deleted
_ASKED: Final = "asked.json"
_FAILED: Final = "failed.json"
_ANSWER: Final = "answer"
_ANSWERED: Final = "answer.json"
_EXPIRED: Final = "expired.json"


def folder_name(entry: SpoolEntry) -> str:
    """Sorted by name, folders are in the order of acceptance."""
    return f"{entry.order:012d}-{entry.id}"


def write_asked(folder: Path, entry: SpoolEntry) -> None:
    """All but the order, which is the folder's name's."""
    value = {"accepted_at": entry.accepted_at.isoformat(), "size": entry.size}
    _write(folder / _ASKED, value | {"asked": asdict(entry.asked)})


def write_failures(folder: Path, failures: int) -> None:
    _write(folder / _FAILED, {"failures": failures})


def write_answer(folder: Path, answer: LateAnswer, at: datetime.datetime) -> None:
    _write_synced(folder / _ANSWER, answer.body)
    value = {
        "answered_at": at.isoformat(),
        "bytes": len(answer.body),
        "status": answer.status,
        "content_type": answer.content_type,
        "node": answer.node,
        "version": answer.version,
    }
    _write(folder / _ANSWERED, value)


def write_expired(folder: Path, at: datetime.datetime) -> None:
    _write(folder / _EXPIRED, {"expired_at": at.isoformat()})


def read_answer(folder: Path) -> LateAnswer:
    """Raises FileNotFoundError where it is deleted at this moment."""
    value = json.loads((folder / _ANSWERED).read_text(encoding="utf-8"))
    return LateAnswer(
        status=value["status"],
        content_type=value["content_type"],
        body=(folder / _ANSWER).read_bytes(),
        node=value["node"],
        version=value["version"],
    )


def read_entry(folder: Path) -> SpoolEntry:
    """As its files say. OSError, ValueError, KeyError or TypeError: they are damaged."""
    order, _, name = folder.name.partition("-")
    value = json.loads((folder / _ASKED).read_text(encoding="utf-8"))
    entry = SpoolEntry(
        id=name,
        order=int(order),
        accepted_at=datetime.datetime.fromisoformat(value["accepted_at"]),
        asked=Asked(**value["asked"]),
        size=int(value["size"]),
    )
    if failed := _read(folder / _FAILED):
        entry = replace(entry, failures=int(failed["failures"]))
    if answered := _read(folder / _ANSWERED):
        at, size = _time(answered["answered_at"]), int(answered.get("bytes", 0))
        entry = replace(entry, answered_at=at, answer_bytes=size)
    if expired := _read(folder / _EXPIRED):
        entry = replace(entry, expired_at=_time(expired["expired_at"]))
    return entry


def delete(folder: Path) -> None:
    """For ever, also after a crash; what a crash leaves of it is deleted by the next `open`."""
    gone = folder.with_name(GONE + folder.name)
    folder.rename(gone)
    sync_folder(folder.parent)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(folder: Path, entry: SpoolEntry) -> None:
    """Delete what the entry's state needs no more: recordings and texts of users."""
    if not entry.has_body:
        (folder / BODY).unlink(missing_ok=True)
    if entry.state is not SpoolState.ANSWERED:
        (folder / _ANSWER).unlink(missing_ok=True)  # not complete, or over


def _write_synced(path: Path, content: bytes) -> None:
    """For what is not text; its content is on the disk at the end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write(path: Path, value: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(value))
    sync_folder(path.parent)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)
