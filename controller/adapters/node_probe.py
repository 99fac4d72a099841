"""Asks nodes for a small answer over a kept connection each: plain asyncio, because a general
client does not reach 2,000 nodes a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.adapters.http_answer import Answer, read_answer
from controller.core.errors import NodeUnavailable


class NodeProbe:
    """One kept connection per node; where two ask at once, the second opens one of its own."""

    def __init__(self, api_key: Callable[[], str | None] = lambda: None) -> None:
        """`api_key` is asked before each request: keys are exchanged."""
        self._api_key = api_key
        self._idle: dict[str, _Connection] = {}

    async def get(self, address: str, path: str, timeout_seconds: float) -> Answer:
        """The answer, whatever its status. Raises NodeUnavailable, and nothing else."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._get(address, self._request(address, path))
        except TimeoutError as error:
            what = f"nothing within {timeout_seconds:g} s"
            raise NodeUnavailable(f"node at {address} did not answer {path}: {what}") from error
        except (OSError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise NodeUnavailable(f"node at {address} did not answer {path}: {what}") from error

    def close(self) -> None:
        for connection in list(self._idle.values()):
            connection.close()

    async def _get(self, address: str, request: bytes) -> Answer:
        """A node may close a kept connection at any moment, also this one: that is no failure,
        and is seen by asking once more on a new one."""
        kept = self._idle.pop(address, None)
        if kept is not None:
            try:
                return await self._exchange(address, kept, request)
            except (OSError, ValueError):
                pass
        return await self._exchange(address, await self._connect(address), request)

    async def _connect(self, address: str) -> _Connection:
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(lambda lost: self._forget(address, lost)),
            host.strip("[]"),
            int(port),
        )
        return connection

    async def _exchange(self, address: str, connection: _Connection, request: bytes) -> Answer:
        """Whatever else comes on a connection that failed, or was given up, is no answer to a
        later request: it is closed."""
        try:
            answer = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if not answer.kept or self._idle.setdefault(address, connection) is not connection:
            connection.close()
        return answer

    def _forget(self, address: str, lost: _Connection) -> None:
        if self._idle.get(address) is lost:
            del self._idle[address]

    def _request(self, address: str, path: str) -> bytes:
        """Raises ValueError where the key is none that can be sent."""
        key = self._api_key()
        if key is not None and not key.isprintable():
            raise ValueError("the API key has characters that no header may have")
        authorization = f"Authorization: Bearer {key}\r\n" if key is not None else ""
        return f"GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n".encode("latin-1")


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, on_lost: Callable[[_Connection], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = b""

    async def exchange(self, request: bytes) -> Answer:
        """Raises OSError or ValueError."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self._received += data
        self._read(ended=False)

    def eof_received(self) -> None:
        self._read(ended=True)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionResetError("the connection was closed"))
        self._on_lost(self)

    def _read(self, ended: bool) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            answer = read_answer(self._received, ended)
        except ValueError as error:
            self._fail(error)
            return
        if answer is not None:
            self._answer.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
