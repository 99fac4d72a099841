"""python -m asr_node.decoding.main DESCRIPTOR PARENT: a decoder; the node starts it."""

from __future__ import annotations

import io
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Final

import numpy as np

from asr_node.decoding.audio import chunks
from asr_node.decoding.ffmpeg import limit_allocations
from asr_node.decoding.given import GivenFile
from asr_node.decoding.wire import (
    ASK,
    BLOCK,
    DESCRIPTOR,
    END,
    HELLO,
    PART,
    REFUSAL,
    SAMPLES,
    refusal_bytes,
)
from asr_node.errors import RequestRefused
from asr_node.recognizer import Samples
from asr_node.subprocesses.conduct import behave

Heard = Callable[[IO[bytes], float], Iterable[Samples]]

MAX_MEMORY_BYTES: Final = 1024**3  # a usual one needs a tenth of it


def run(heard: Heard) -> None:
    """Until the node closes the connection, or has gone."""
    descriptor, parent = (int(argument) for argument in sys.argv[1:])
    behave(parent)
    limit_allocations()
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    with socket.socket(fileno=descriptor) as connection:
        with suppress(EOFError, ConnectionError):
            _serve(connection, heard)
        os._exit(0)


def _serve(connection: socket.socket, heard: Heard) -> None:
    _say(connection, HELLO)
    while True:
        max_seconds, file = _receive(connection)
        with file:
            _answer(connection, heard(file, max_seconds))


def _receive(connection: socket.socket) -> tuple[float, IO[bytes]]:
    head, descriptors, _, _ = socket.recv_fds(connection, ASK.size, 1)
    if not head:
        raise EOFError
    max_seconds, size = ASK.unpack(head)
    if size == DESCRIPTOR:
        return max_seconds, io.BufferedReader(GivenFile(descriptors[0]))
    content = connection.recv(size, socket.MSG_WAITALL)
    if len(content) < size:
        raise EOFError
    return max_seconds, io.BytesIO(content)


def _answer(connection: socket.socket, pieces: Iterable[Samples]) -> None:
    try:
        for block in _blocks(pieces):
            _say(connection, SAMPLES, block.data.cast("B"))
    except ConnectionError:
        raise
    except RequestRefused as refusal:
        _say(connection, REFUSAL, refusal_bytes(refusal))
    except Exception as error:
        logging.getLogger(__name__).exception("a file could not be decoded")
        _say(connection, REFUSAL, refusal_bytes(_failed(error)))
    else:
        _say(connection, END)


def _blocks(pieces: Iterable[Samples]) -> Iterator[Samples]:
    """The node is woken once for each."""
    block: list[Samples] = []
    for piece in pieces:
        block.append(piece)
        if sum(one.size for one in block) >= BLOCK:
            yield np.concatenate(block)
            block.clear()
    if block:
        yield np.concatenate(block)


def _failed(error: Exception) -> RequestRefused:
    return RequestRefused(
        f"The node could not decode this file: {type(error).__name__}. See its log.",
        status=500,
        param="file",
        code="decoding_failed",
    )


def _say(connection: socket.socket, kind: bytes, body: bytes | memoryview = b"") -> None:
    connection.sendall(PART.pack(kind, len(body)))
    if body:
        connection.sendall(body)


if __name__ == "__main__":
    run(chunks)
