"""The controller as a process: which one it is, who watches over it, and its end."""

from __future__ import annotations

from typing import Final

import psutil

from controller.adapters.state_folder import StateFolder
from controller.core.errors import Refused

_MODULES: Final = ("controller.cli", "controller.entry", "rollout")
_SUPERVISOR: Final = "controller.supervisor"


def controller_process(folder: StateFolder) -> psutil.Process | None:
    """The living controller of this folder; None where none can be told for certain."""
    address = folder.address()
    if address is None or not folder.is_locked():
        return None
    try:
        process = psutil.Process(address.pid)
        command = process.cmdline()
    except psutil.Error:
        return None
    known = any(part.rpartition("/")[2] in _MODULES for part in command)
    return process if known and "up" in command else None


def is_supervised(folder: StateFolder) -> bool:
    """Whether somebody starts the controller again after a crash (`rollout up --detach`)."""
    process = controller_process(folder)
    try:
        parent = process.parent() if process is not None else None
        return parent is not None and _SUPERVISOR in parent.cmdline()
    except psutil.Error:
        return False


def kill_controller(folder: StateFolder) -> None:
    """SIGKILL. Raises Refused where nobody would start it again."""
    process = controller_process(folder)
    if process is None or not is_supervised(folder):
        raise Refused("the controller has no supervisor (`rollout up --detach`); it was not killed")
    process.kill()
