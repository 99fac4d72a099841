"""The folders of the configurations that were loaded: one for each generation."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from controller.adapters.files import write_atomically
from controller.adapters.nginx.render import CONFIG, Secrets
from controller.core.errors import InvalidConfig
from controller.core.routing import Endpoint, Group, Membership

_MEMBERSHIP: Final = "membership.json"
_LOG_SALT: Final = "log_salt"


class Generations:
    """`run_dir`/generations/N for each, and `run_dir`/nginx.conf: that of the one in effect.

    Everything is readable by its owner only."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._folder = run_dir / "generations"

    def create(self) -> None:
        for folder in (self._run_dir, self._folder, self._run_dir / "temp"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def next(self, serving: int) -> int:
        """A number above all that were ever used."""
        return max([serving, *self.newest_first()]) + 1

    def path(self, number: int) -> Path:
        return self._folder / str(number)

    def write(self, number: int, files: Mapping[str, str], membership: Membership) -> None:
        """The candidate: nothing reads it until `publish`. Raises OSError, and leaves nothing of
        it."""
        self.path(number).mkdir(mode=0o700)
        try:
            for name, text in files.items():
                write_atomically(self.path(number) / name, text)
            write_atomically(self.path(number) / _MEMBERSHIP, json.dumps(asdict(membership)))
        except OSError:
            self.drop(number)
            raise

    def publish(self, number: int) -> None:
        """Make it what nginx reads at its next start or reload: one atomic step."""
        text = (self.path(number) / CONFIG).read_text(encoding="utf-8")
        write_atomically(self._run_dir / CONFIG, text)

    def published(self) -> str | None:
        try:
            return (self._run_dir / CONFIG).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def restore(self, text: str | None) -> None:
        """Back to what `published` said before."""
        if text is not None:
            write_atomically(self._run_dir / CONFIG, text)

    def drop(self, number: int) -> None:
        shutil.rmtree(self.path(number), ignore_errors=True)

    def newest_first(self) -> list[int]:
        """The generations that are still there."""
        numbers = (int(path.name) for path in self._folder.iterdir() if path.name.isdigit())
        return sorted(numbers, reverse=True)

    def prune(self, current: int, keep: int = 3) -> None:
        """Keep the last few, to look at; nginx reads only the current one."""
        for path in self._folder.iterdir():
            if path.name.isdigit() and int(path.name) <= current - keep:
                shutil.rmtree(path, ignore_errors=True)

    def membership(self, number: int) -> Membership | None:
        """The nodes of a generation, for a controller that finds nginx running; None where it
        cannot be read."""
        try:
            value = json.loads((self.path(number) / _MEMBERSHIP).read_text(encoding="utf-8"))
            return Membership(
                tuple(
                    Group(group["name"], tuple(Endpoint(**e) for e in group["endpoints"]))
                    for group in value["groups"]
                )
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # not there, or damaged
            return None

    def secrets(self, jwt_key_file: Path | None) -> Secrets:
        """The salt of the log's key hashes, made once; and the key that verifies tokens."""
        path = self._run_dir / _LOG_SALT
        if not path.exists():
            write_atomically(path, secrets.token_hex(16))
        return Secrets(path.read_text(), _read_key(jwt_key_file))


def _read_key(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        key = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise InvalidConfig(f"router: jwt_key_file: {error}") from error
    if len(key) < 32:
        raise InvalidConfig(
            f"router: jwt_key_file: {path} holds {len(key)} bytes; HS256 needs 32 or "
            f"more (RFC 7518)"
        )
    if key.lstrip().startswith(b"-----BEGIN"):
        raise InvalidConfig(
            f"router: jwt_key_file: {path} is a PEM file; the router verifies HS256, whose key is "
            f"a shared secret"
        )
    return base64.b64encode(key).decode()
