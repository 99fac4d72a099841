"""Thousands of nodes that only answer probes, in a process of their own.

`python -m benchmarks.probe_nodes COUNT` listens on as many ports, prints their addresses as one
line of JSON, and ends when its standard input does."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_ROOT: Final = Path(__file__).resolve().parent.parent
_READY: Final = {
    "ready": True, "reason": "ready", "version": "v1", "digest": "d" * 64, "in_flight": 3,
    "degraded": None, "memory": [{"device": "cpu", "held_bytes": 5 << 28, "free_bytes": 9 << 30}],
}  # fmt: skip


class ProbeNodes:
    """`with ProbeNodes(2000, cpus) as nodes: nodes.addresses`. `cpus`: that it may run on."""

    def __init__(self, count: int, cpus: set[int]) -> None:
        command = [sys.executable, "-m", "benchmarks.probe_nodes", str(count)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: pin(cpus),
        )  # fmt: skip
        self.addresses: list[str] = []

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.addresses = json.loads(self._process.stdout.readline())
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)


def pin(cpus: set[int]) -> bool:
    """Where the system can; whether it did."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, cpus)
    return True


def allow_many_files(wanted: int) -> None:
    """Raises ValueError where the system's hard limit is below."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _answer(body: object) -> bytes:
    text = json.dumps(body).encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    return f"{head}{len(text)}\r\n\r\n".encode() + text


class _Node(asyncio.Protocol):
    alive, ready = _answer({"status": "alive"}), _answer(_READY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # a probe is one small packet
        self._transport.write(self.alive if data.startswith(b"GET /healthz") else self.ready)


async def _serve(count: int) -> None:
    allow_many_files(2 * count + 100)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(_Node, "127.0.0.1", 0, family=socket.AF_INET) for _ in range(count)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps([f"127.0.0.1:{port}" for port in ports]), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
