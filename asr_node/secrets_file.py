"""Secrets that live in files: API keys of clients, the token of /admin."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asr_node.errors import StartRefused
from asr_node.log import event

MAX_BYTES: Final = 1024 * 1024
SHORTEST: Final = 16  # characters; shorter ones are guessed too easily

State = tuple[int, int, int]  # of a file: changes when it does


class ApiKeys:
    """One key a line; blank lines and those that begin with # are passed over.

    The file is looked at for every request and read when it has changed, so that a key can be
    added or withdrawn without a restart. Where it cannot be read any more, the last keys hold."""

    def __init__(self, path: Path) -> None:
        """Raises StartRefused: a typing error must not open or shut the node in silence."""
        self._path = path
        try:
            self._state: State | None = _state(path)
            self._keys = _read_keys(path)
        except (OSError, ValueError) as error:
            raise StartRefused(
                f"--api-keys-file {path} cannot be read: {_why(error)}; nothing was started."
            ) from error
        if not self._keys:
            raise StartRefused(
                f"--api-keys-file {path} holds no key, so nobody could ask; nothing was started. "
                "Write one key a line, or leave the option out."
            )

    def allow(self, given: str) -> bool:
        self._refresh()
        return matches_any(given, self._keys)

    def _refresh(self) -> None:
        try:
            state = _state(self._path)
            if state == self._state:
                return
            keys = _read_keys(self._path)
        except (OSError, ValueError) as error:
            if self._state is not None:  # say it once
                event("api_keys.unreadable", level=logging.WARNING, reason=_why(error))
            self._state = None
            return
        self._state, self._keys = state, keys
        event("api_keys.changed", keys=len(keys))


def admin_token(path: Path | None, data_dir: Path) -> str:
    """Made with mode 0600 in the data folder where no file is given. Raises StartRefused."""
    made = data_dir / "admin.token"
    try:
        if path is None and not made.exists():
            _make(made)
        token = _read(path or made)
    except (OSError, ValueError) as error:
        raise StartRefused(
            f"the admin token {path or made} cannot be read: {_why(error)}; nothing was started."
        ) from error
    if len(token) != 1 or len(token[0]) < SHORTEST:
        raise StartRefused(
            f"{path or made} must hold one line of at least {SHORTEST} characters, the admin "
            "token; nothing was started. Without --admin-token-file the node makes one."
        )
    return token[0].decode()


def matches_any(given: str, known: Iterable[bytes]) -> bool:
    """In a time that does not depend on which key matched, or how nearly."""
    offered = given.encode("latin-1", "replace")  # headers are bytes that were read as Latin-1
    found = False
    for key in known:
        found |= hmac.compare_digest(offered, key)
    return found


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header; empty where there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _make(path: Path) -> None:
    """Under another name first: a full disk or a kill must not leave an empty token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".begun")
    begun.unlink(missing_ok=True)
    descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    begun.replace(path)


def _read_keys(path: Path) -> tuple[bytes, ...]:
    keys = _read(path)
    if any(len(key) < SHORTEST for key in keys):
        raise ValueError(f"a key in it is shorter than {SHORTEST} characters")
    return keys


def _read(path: Path) -> tuple[bytes, ...]:
    with path.open("rb") as file:
        _warn_if_exposed(path, os.fstat(file.fileno()).st_mode)
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith(b"#"))


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _warn_if_exposed(path: Path, mode: int) -> None:
    if mode & stat.S_IROTH:
        event(
            "secret.exposed",
            level=logging.WARNING,
            file=str(path),
            reason=f"everybody on this machine can read it; mend it with: chmod 600 {path}",
        )


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
