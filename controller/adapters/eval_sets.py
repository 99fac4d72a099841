"""Eval sets on disk: eval_sets/NAME/manifest.jsonl and its audio. docs/eval-sets.md explains."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from controller.core.errors import InvalidConfig, NotFound
from controller.core.eval_set import SILENCE, EvalSet, Utterance
from controller.core.names import check_name
from controller.core.scoring import characters

SAMPLE_RATE_HZ: Final = 16_000
MANIFEST: Final = "manifest.jsonl"
_KEYS: Final = (
    "key", "source", "source_len", "target", "target_len", "tags",
    "speaker", "recording", "hotwords", "language",
)  # fmt: skip
_HEAD_BYTES: Final = 64 * 1024  # tags may stand before the format in a WAV file


def read_eval_set(root: Path, name: str) -> EvalSet:
    """Read and check root/NAME, audio included. Blocks: use a thread.

    `source` of its utterances is a path that can be opened. Raises InvalidName, NotFound, and
    InvalidConfig with `file:line` at the first utterance that is not in order."""
    folder = root / check_name(name, "eval set")
    manifest = folder / MANIFEST
    try:
        content = manifest.read_bytes()
    except FileNotFoundError as error:
        known = ", ".join(known_eval_sets(root)) or "none"
        raise NotFound(f"no eval set {name!r} ({manifest} is missing); there is {known}") from error
    digest = hashlib.sha256(content)
    utterances: dict[str, Utterance] = {}
    for line, text in _lines(content):
        try:
            utterance, audio = _utterance(text, folder)
            _require(utterance.key not in utterances, f"key: {utterance.key!r} is there twice")
        except _Wrong as error:
            raise InvalidConfig(f"{manifest}:{line}: {error}") from error
        utterances[utterance.key] = utterance
        digest.update(bytes.fromhex(audio))
    if not utterances:
        raise InvalidConfig(f"{manifest}:1: the manifest is empty")
    return EvalSet(name, tuple(utterances.values()), digest.hexdigest())


def audio_fault(path: Path) -> str | None:
    """Why no eval set can have this recording."""
    try:
        _checked_audio(path)
    except _Wrong as error:
        return str(error).removeprefix("source: ")
    return None


def known_eval_sets(root: Path) -> tuple[str, ...]:
    """The names of the folders that have a manifest, sorted."""
    return tuple(sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}")))


class _Wrong(Exception):
    """What is wrong in a line; the caller knows which line."""


def _require(fact: object, otherwise: str) -> None:
    if not fact:
        raise _Wrong(otherwise)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    return ((n, line) for n, line in enumerate(content.split(b"\n"), start=1) if line.strip())


def _utterance(line: bytes, folder: Path) -> tuple[Utterance, str]:
    """A line's utterance, with the SHA-256 of its audio."""
    fields = _fields(line)
    key = _text(fields, "key")
    _require(key.isprintable() and " " not in key, f"key: {key!r} has spaces or controls")
    tags = _texts(fields, "tags")
    target = _target(fields, silent=SILENCE in tags)
    audio = _inside(_text(fields, "source"), folder)
    _count(fields, "target_len")
    utterance = Utterance(
        key,
        str(audio),
        target,
        tags,
        _count(fields, "source_len"),
        speaker=_text(fields, "speaker", ""),
        recording=_text(fields, "recording", ""),
        hotwords=_texts(fields, "hotwords"),
        language=_text(fields, "language", ""),
    )
    return utterance, _checked_audio(audio)


def _target(fields: Mapping[str, Any], silent: bool) -> str:
    """What was said; only a recording that is tagged as silence may, and must, have nothing."""
    target = _text(fields, "target")
    said = bool(characters(target))
    _require(
        said or silent,
        f"target: the reference {target!r} is empty: nothing to hear. A recording without "
        f"speech needs the tag {SILENCE!r}",
    )
    _require(
        not (said and silent),
        f"target: {target!r} was said, but the recording is tagged {SILENCE!r}: drop one of them",
    )
    return target if said else ""


def _fields(line: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"not JSON in UTF-8: {error}") from error
    _require(isinstance(fields, dict), "expected an object {…}")
    for name in fields:
        expected = ", ".join(_KEYS)
        _require(name in _KEYS, f"{name}: unknown key; expected one of {expected}")
    return fields  # type: ignore[no-any-return]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    _require(len(fields) == len(pairs), "a key of the object is there twice")
    return fields


def _text(fields: Mapping[str, Any], name: str, otherwise: str | None = None) -> str:
    value = fields.get(name, otherwise)
    if not isinstance(value, str):
        raise _Wrong(f"{name}: expected text, found {value!r}")
    return value


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Wrong(f"{name}: expected a whole number, found {value!r}")
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise _Wrong(f"{name}: expected a list of texts, found {value!r}")
    return tuple(value)


def _inside(source: str, folder: Path) -> Path:
    """The path of an audio file that truly lies in the eval set's folder."""
    relative = PurePosixPath(source)
    _require(source.isprintable() and relative.name, f"source: {source!r} names no file")
    base = folder.resolve()
    try:
        escapes = relative.is_absolute() or (folder / source).resolve() != base / relative
        _require(not escapes, f"source: {source!r} leaves the eval set's folder (.., / or a link)")
        _require((folder / source).is_file(), f"source: there is no file {source!r}")
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long
        raise _Wrong(f"source: {source!r} cannot be read: {error}") from error
    return folder / source


def _checked_audio(path: Path) -> str:
    """The file's SHA-256. Raises _Wrong where its sample rate is not what it must be."""
    try:
        with path.open("rb") as file:
            rate = sample_rate(file.read(_HEAD_BYTES))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _Wrong(f"source: {path} cannot be read: {error.strerror}") from error
    _require(rate is not None, f"source: {path.name} is not WAV, FLAC, Ogg/Opus or Ogg/Vorbis")
    _require(
        rate == SAMPLE_RATE_HZ,
        f"source: {path.name} has a sample rate of {rate} Hz; {SAMPLE_RATE_HZ} Hz is needed "
        f"(ffmpeg -i IN -ar {SAMPLE_RATE_HZ} -ac 1 OUT.flac)",
    )
    return digest


def sample_rate(head: bytes) -> int | None:
    """The sample rate in Hz that an audio file's first bytes state; None if they are no audio.

    Opus decodes at 48 kHz whatever went in; its header keeps the rate of the original
    (RFC 7845, 5.1), which is the one that counts here."""
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return _wav_rate(head)
    if head[:4] == b"fLaC":
        return _flac_rate(head)
    if head[:4] == b"OggS" and len(head) > 27:
        packet = head[27 + head[26] :]  # after the page's header and its table of segments
        if packet[:8] == b"OpusHead" or packet[:7] == b"\x01vorbis":  # both have it at byte 12
            return _little_endian(packet[12:16])
        if packet[:5] == b"\x7fFLAC":
            return _flac_rate(packet[9:])
    return None


def _wav_rate(head: bytes) -> int | None:
    at = 12
    while at + 16 <= len(head):  # chunks: name, size, content padded to an even length
        if head[at : at + 4] == b"fmt ":
            return _little_endian(head[at + 12 : at + 16])
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return None


def _flac_rate(head: bytes) -> int | None:
    """20 bits of STREAMINFO, which is always the first block (RFC 9639, 8.2)."""
    return int.from_bytes(head[18:21], "big") >> 4 if len(head) >= 21 else None


def _little_endian(four: bytes) -> int | None:
    return int.from_bytes(four, "little") if len(four) == 4 else None
