"""The state folder: one controller at a time, where it answers, and the token that it asks for.

Standard library only: the `rollback` command imports it and must start at once."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from controller.core.errors import Refused

_LOCK: Final = "lock"
_ADDRESS: Final = "controller.json"
_TOKEN: Final = "api.token"  # noqa: S105 (a file name)


@dataclass(frozen=True, slots=True)
class ControllerAddress:
    """Where the controller of this folder answers, and what it was started with."""

    url: str
    pid: int
    fleet_path: str
    runtime: str


class StateFolder:
    """`path` is created, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        self._is_new = False

    def create(self) -> None:
        """Raises Refused where the folder cannot be made or written."""
        self._is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(self._open_lock())
        except OSError as error:
            raise Refused(
                f"the state folder {self.path} cannot be made or written ({error.strerror}); "
                f"nothing was started. Choose another with --state-dir"
            ) from error

    def take_back(self) -> None:
        """Where `create` made it, we hold it, and there is nothing in it: it was for nothing."""
        lock = self.path / _LOCK
        if self._is_new and self._lock is not None and [*self.path.iterdir()] == [lock]:
            lock.unlink()
            self.path.rmdir()

    @property
    def database(self) -> Path:
        return self.path / "state.db"

    @property
    def router_dir(self) -> Path:
        return self.path / "router"

    def lock(self) -> None:
        """Hold the folder until this process ends. Raises Refused where another one does.

        The lock is the kernel's (flock): it never outlives its holder, whatever kills it."""
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise Refused(
                f"a controller already runs on {self.path}; nothing was changed. "
                f"`rollout status` shows it, `rollout down` stops it"
            ) from error
        if os.fstat(descriptor).st_nlink == 0:  # whoever made the folder has taken it back
            os.close(descriptor)
            raise Refused(f"{self.path} was just removed, by a start that was refused; try again")
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_locked(self) -> bool:
        """Whether a controller holds the folder now."""
        try:
            self.lock()
        except Refused:
            return True
        self.unlock()
        return False

    def write_address(self, address: ControllerAddress) -> None:
        self._write(_ADDRESS, json.dumps(asdict(address)))

    def forget_address(self) -> None:
        """The controller has ended and left nothing that runs."""
        (self.path / _ADDRESS).unlink(missing_ok=True)

    def address(self) -> ControllerAddress | None:
        """As the last controller wrote it; None after one that ended cleanly, stale after one
        that was killed."""
        try:
            return ControllerAddress(**json.loads((self.path / _ADDRESS).read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def token(self) -> str:
        """The secret that lets its holder give commands; made at the first use."""
        path = self.path / _TOKEN
        if not path.exists():
            self._write(_TOKEN, secrets.token_urlsafe(32))
        return path.read_text().strip()

    def _open_lock(self) -> int:
        return os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _write(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
