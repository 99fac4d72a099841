"""Adds recordings to an eval set: new files first, then the manifest, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.adapters.eval_sets import MANIFEST, audio_fault, read_eval_set
from controller.adapters.files import sha256, write_atomically
from controller.core.errors import NotFound, Refused
from controller.core.eval_set import SILENCE, Utterance
from controller.core.names import check_name
from controller.core.scoring import characters

REVIEWED: Final = "reviewed"  # the tag of recordings whose text people corrected
_AUDIO: Final = "audio"
_READABLE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Added:
    """Keys of the recordings that were added, and of those whose audio was there already; of those
    that no eval set can have, the keys with the reasons."""

    added: tuple[str, ...]
    known: tuple[str, ...]
    unfit: tuple[str, ...]


def add_recordings(root: Path, name: str, recordings: Sequence[Utterance]) -> Added:
    """Copy `recordings` (`source` is a path, `target` what was said) into root/name, which is made
    where it is missing; they get the tag `reviewed`. A recording whose audio or key is there is
    left out, and so is one that no eval set can have. Blocks: use a thread.

    Raises Refused where nothing is left to add and where a file cannot be copied, InvalidName, and
    InvalidConfig where the set is not in order; then it is as it was."""
    folder = root / check_name(name, "eval set")
    faults = {recording.key: _fault(recording) for recording in recordings}
    unfit = tuple(f"{key}: {fault}" for key, fault in faults.items() if fault is not None)
    fit = [recording for recording in recordings if faults[recording.key] is None]
    if not fit:
        why = "; ".join(unfit) or "there are no corrected texts"
        raise Refused(f"nothing was added to {name}: {why}")
    try:
        (folder / _AUDIO).mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _add(root, folder, fit, unfit)
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error}; the eval set is as it was") from error


def _fault(recording: Utterance) -> str | None:
    """Why no eval set can have it."""
    if not characters(recording.target):
        return f"the text {recording.target!r} says nothing"
    return audio_fault(Path(recording.source))


def _add(
    root: Path, folder: Path, recordings: Sequence[Utterance], unfit: tuple[str, ...]
) -> Added:
    keys, audio = _present(root, folder)
    added: dict[str, Utterance] = {}
    for recording in recordings:
        digest = sha256(Path(recording.source))
        if recording.key in keys or digest in audio:
            continue
        audio.add(digest)
        added[recording.key] = recording
    known = tuple(r.key for r in recordings if r.key not in added)
    if not added:
        more = "".join(f"; {fault}" for fault in unfit)
        raise Refused(
            f"nothing was added to {folder.name}: it has all {len(known)} recordings{more}"
        )
    _write(root, folder, list(added.values()))
    return Added(tuple(added), known, unfit)


def _present(root: Path, folder: Path) -> tuple[set[str], set[str]]:
    """Keys and digests of what is there."""
    try:
        utterances = read_eval_set(root, folder.name).utterances
    except NotFound:  # no manifest yet
        return set(), set()
    return {u.key for u in utterances}, {sha256(Path(u.source)) for u in utterances}


def _write(root: Path, folder: Path, recordings: Sequence[Utterance]) -> None:
    manifest = folder / MANIFEST
    before = manifest.read_text(encoding="utf-8") if manifest.exists() else None
    copies: list[Path] = []
    try:
        for recording in recordings:
            source = Path(recording.source)
            copies.append(folder / _AUDIO / f"{recording.key}{source.suffix.lower()}")
            shutil.copyfile(source, copies[-1])
        lines = [_line(r, copy) for r, copy in zip(recordings, copies, strict=True)]
        old = before.rstrip("\n") + "\n" if before else ""
        write_atomically(manifest, old + "".join(f"{line}\n" for line in lines), _READABLE)
        read_eval_set(root, folder.name)
    except BaseException:
        if before is not None:
            write_atomically(manifest, before, _READABLE)
        else:
            manifest.unlink(missing_ok=True)
        for copy in copies:
            copy.unlink(missing_ok=True)
        raise


def _line(recording: Utterance, copy: Path) -> str:
    tags = [tag for tag in recording.tags if tag not in {SILENCE, REVIEWED}]
    fields: dict[str, Any] = {
        "key": recording.key,
        "source": f"{_AUDIO}/{copy.name}",
        "source_len": recording.duration_ms,
        "target": recording.target,
        "target_len": len(recording.target),
        "tags": [*tags, REVIEWED],
    }
    more = {
        "speaker": recording.speaker,
        "recording": recording.recording,
        "hotwords": list(recording.hotwords),
        "language": recording.language,
    }
    return json.dumps(fields | {k: v for k, v in more.items() if v}, ensure_ascii=False)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two at once would lose the lines of one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
