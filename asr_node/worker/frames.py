"""What node and worker say to each other: pickles, with arrays beside them instead of in them.

A frame is the number of parts, the length of each, and the parts: a pickle and its buffers. So
samples are not copied into the pickle, and are written from where they lie.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

COUNT: Final = struct.Struct("<I")
LENGTH: Final = struct.Struct("<Q")

Parts = Sequence[bytes | bytearray | memoryview]


def packed(message: object) -> list[bytes | memoryview]:
    """The frame of `message`, piece by piece."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts: list[bytes | memoryview] = [body, *(buffer.raw() for buffer in buffers)]
    head = COUNT.pack(len(parts)) + b"".join(LENGTH.pack(len(part)) for part in parts)
    return [head, *parts]


def unpacked(parts: Parts) -> Any:
    """Only from our own processes: a pickle can do anything."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301


async def receive_async(reader: asyncio.StreamReader) -> Any:
    """Raises IncompleteReadError where the other side has gone."""
    (count,) = COUNT.unpack(await reader.readexactly(COUNT.size))
    lengths = [LENGTH.unpack(await reader.readexactly(LENGTH.size))[0] for _ in range(count)]
    return unpacked([await reader.readexactly(length) for length in lengths])


def receive(connection: socket.socket) -> Any:
    """Raises EOFError where the other side has gone. Arrays can be written to."""
    (count,) = COUNT.unpack(_exactly(connection, COUNT.size))
    lengths = [LENGTH.unpack(_exactly(connection, LENGTH.size))[0] for _ in range(count)]
    return unpacked([_exactly(connection, length) for length in lengths])


def send(connection: socket.socket, message: object) -> None:
    for part in packed(message):
        connection.sendall(part)


def _exactly(connection: socket.socket, length: int) -> bytearray:
    received = bytearray(length)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return received
