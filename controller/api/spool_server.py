"""The socket on which the router reaches the spool, in both runtimes: a Unix socket in the folder
that controller and router share."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from controller.adapters.unix_socket import short_name
from controller.api.batches import add_batches
from controller.api.service import Service
from controller.api.spool import spool_app

_ENDING_SECONDS: Final = 3
_LINGER_SECONDS: Final = 1.0  # a client that still speaks must find the close frame, not a reset
_TRY_AGAIN_LATER: Final = 1013  # of RFC 6455's registry
_WORDS: Final = "No speech node is ready. Try again."
_ACCEPT: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_KEY: Final = re.compile(rb"(?im)^sec-websocket-key:[ \t]*([A-Za-z0-9+/=]{1,64})[ \t]*\r$")
_BINARY: Final = re.compile(rb"(?im)^sec-websocket-protocol:[^\r]*\bbinary\b")  # FunASR's


@asynccontextmanager
async def serving_spool(service: Service) -> AsyncIterator[None]:
    """What was kept is known before the router can ask, and the router is gone before the end."""
    folder = service.spool_folder
    await asyncio.to_thread(folder.open)
    app = spool_app(folder, service.fleet.api_keys)
    add_batches(app, service.batch_desk())
    async with serving(app, service.parts.router.spool_socket):
        yield


@asynccontextmanager
async def serving(app: FastAPI, path: Path) -> AsyncIterator[None]:
    """Serve `app` at `path` while the block runs."""
    config = uvicorn.Config(
        app, http="h11", ws=TurnedAway, lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=_ENDING_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    with _listening(path) as listener:
        task = asyncio.create_task(server.serve([listener]), name="spool server")
        try:
            yield
        finally:
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the controller's."""
        yield


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """For its owner and the router only; a socket that a killed controller left is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with short_name(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        if os.geteuid() == 0:  # the router's container has a user of its own, who has the folder
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
        listener.listen()  # from now on connections wait until the server is there
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


class TurnedAway(asyncio.Protocol):
    """A WebSocket that no node can serve: its handshake is accepted, and it is closed with 1013,
    which says to clients what 503 says to requests. uvicorn hands the whole handshake over."""

    def __init__(self, **_uvicorns: Any) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """The handshake; what the client says after it is not listened to."""
        if self._transport is None:
            return
        key = _KEY.search(data)
        if key is None:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        else:
            protocol = "binary" if _BINARY.search(data) else None
            self._transport.write(handshake(key[1].decode(), protocol) + close_frame())
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)
        self._transport = None


def handshake(key: str, protocol: str | None) -> bytes:
    """The server's half of it (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _ACCEPT.encode()).digest()  # noqa: S324 (as specified)
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def close_frame() -> bytes:
    """Section 5.5.1: final, opcode 8, unmasked."""
    payload = _TRY_AGAIN_LATER.to_bytes(2, "big") + _WORDS.encode()
    return bytes([0x88, len(payload)]) + payload
