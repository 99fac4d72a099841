"""python -m asr_node.worker.main DESCRIPTOR: a worker; the node starts it, people do not."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final

from asr_node import log
from asr_node.errors import LoadFailed, ModelFailed, OutOfMemory, StartRefused
from asr_node.settings import Settings
from asr_node.worker.frames import receive, send
from asr_node.worker.operations import Operations

PR_SET_PDEATHSIG: Final = 1
NICENESS: Final = 5  # where cores are few, the node must answer probes while its workers compute
AS_THEY_ARE: Final = (LoadFailed, ModelFailed, OutOfMemory, StartRefused)


def main() -> None:
    """Until the node closes the connection, or has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a group's SIGTERM are for the node,
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which lets its workers finish
    os.nice(NICENESS)
    faulthandler.enable()
    log.configure()
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    _die_with(parent)
    with socket.socket(fileno=descriptor) as connection:
        with suppress(EOFError, ConnectionError):
            _serve(connection)
        os._exit(0)  # without a word: threads of libraries would be waited for


def _serve(connection: socket.socket) -> None:
    settings = receive(connection)
    assert isinstance(settings, Settings)
    operations: Operations | None = None
    while True:
        name, arguments = receive(connection)
        value: object = None
        failure: Exception | None = None
        try:
            operations = operations or Operations(settings)
            value = getattr(operations, name)(*arguments)
        except Exception as error:
            failure = _portable(error)
        send(connection, (value, failure))
        del arguments, value  # samples: not held until the next request


def _portable(error: Exception) -> Exception:
    """The error of a library may not be known, or not be picklable, on the other side."""
    if isinstance(error, AS_THEY_ARE):
        return type(error)(str(error))
    return ModelFailed(f"{type(error).__name__}: {error}")


def _die_with(parent: int) -> None:
    """Also while a model computes, when nobody reads the connection."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
