"""python -m asr_node.worker.main DESCRIPTOR: a worker; the node starts it, people do not."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import Final

from asr_node.errors import LoadFailed, ModelFailed, OptionRefused, OutOfMemory, StartRefused
from asr_node.settings import Settings
from asr_node.subprocesses.conduct import behave
from asr_node.worker.frames import receive, send
from asr_node.worker.operations import Operations

AS_THEY_ARE: Final = (LoadFailed, ModelFailed, OutOfMemory, StartRefused)


def main() -> None:
    """Until the node closes the connection, or has gone."""
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    behave(parent)
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
    if isinstance(error, OptionRefused):
        return OptionRefused(error.message, error.option)
    if isinstance(error, AS_THEY_ARE):
        return type(error)(str(error))
    return ModelFailed(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
