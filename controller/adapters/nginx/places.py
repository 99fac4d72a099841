"""Where the files and sockets of one nginx are."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Final

from controller.adapters import routing_switch
from controller.adapters.nginx.render import Place

SPOOL_SOCKET: Final = "spool.sock"


class Places:
    """Those of the nginx of `run_dir`, which it sees as `root`: another folder in a container."""

    def __init__(self, run_dir: Path, root: Path) -> None:
        self._run_dir = run_dir
        self._root = root

    @property
    def access_log(self) -> Path:
        return self._run_dir / "access.log"

    @property
    def error_log(self) -> Path:
        return self._run_dir / "error.log"

    @property
    def spool_socket(self) -> Path:
        """Where nginx finds the spool, as we see it: beside the control socket, and in the folder
        that is shared with a container."""
        folder = self._run_dir if self._is_contained else self.begun_socket.parent
        return folder / SPOOL_SOCKET

    @property
    def _is_contained(self) -> bool:
        return self._root != self._run_dir

    @property
    def begun_socket(self) -> Path:
        """Where a new nginx begins to listen for us, as we see it."""
        return routing_switch.begun_socket(self._run_dir)

    @property
    def control_socket(self) -> Path:
        """The control socket as we see it."""
        return routing_switch.control_socket(self._run_dir)

    def seen(self, folder: Path) -> Place:
        """Our paths as nginx sees them; `folder` is that of a generation."""
        root = self._root
        folder = root / folder.relative_to(self._run_dir)
        if self._is_contained:
            return Place(root, folder, root / routing_switch.SOCKET, root / SPOOL_SOCKET)
        return Place(root, folder, self.begun_socket, self.spool_socket, _root_user())


def _root_user() -> tuple[str, str] | None:
    """Root's name and group where we are root: nginx would give its workers to `nobody`, who
    could not store an upload in our closed folder."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name
