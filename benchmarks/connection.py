"""One kept HTTP/1.1 connection that never retries.

Not a client library: those reconnect and retry on their own, and a load generator must show
what a plain client would have felt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class Broken(Exception):
    """The connection ended before a whole answer had come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def is_open(self) -> bool:
        """Whether the next request goes over the connection of the one before.

        A connection that the server is known to have closed is opened anew; a close that
        arrives once the request is being written is a failure, and counted as one."""
        if self._reader is None or self._writer is None:
            return False
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def exchange(self, request: bytes) -> Answer:
        """Send a request, wait for its answer. Raises Broken or OSError."""
        reader, writer = await self._streams()
        try:
            writer.write(request)
            await writer.drain()
            answer = await _read_answer(reader)
        except asyncio.IncompleteReadError as error:
            self.close()
            raise Broken(f"closed after {len(error.partial)} bytes of the answer") from error
        except (asyncio.LimitOverrunError, ValueError) as error:
            self.close()
            raise Broken("what came is no HTTP answer") from error
        except BaseException:  # also a time-out: what still comes belongs to no later request
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.is_open():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        assert self._reader is not None
        assert self._writer is not None
        return self._reader, self._writer


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    named = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    _, _, status = status_line.partition(" ")
    return Answer(int(status[:3]), headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
