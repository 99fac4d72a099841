"""How a process of the node's behaves: it never outlives the node, and never gets in its way."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from typing import Any, Final

from asr_node import log

PR_SET_PDEATHSIG: Final = 1
NICENESS: Final = 5  # where cores are few, the node must answer probes while others compute


def behave(parent: int) -> None:
    """First of all. Ends the process where `parent` has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a group's SIGTERM are for the node,
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which lets its processes finish
    os.nice(NICENESS)
    faulthandler.enable()
    log.configure()
    _die_with(parent)


def _die_with(parent: int) -> None:
    """Also while it computes, when nobody reads the connection."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
