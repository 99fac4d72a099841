"""The socket between router and controller: who reaches it, and what a killed controller left."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from controller.adapters.api_keys import NO_KEYS
from controller.adapters.spool_folder import SpoolFolder
from controller.api.spool import spool_app
from controller.api.spool_server import close_frame, handshake, serving
from controller.core.spool import SpoolLimits

ROUTERS_USER = 10001  # of our images
ASK = b"GET /v1/spool/unknown HTTP/1.1\r\nHost: spool\r\nConnection: close\r\n\r\n"
ASK_AS_ANOTHER_USER = """
import os, socket, sys
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)  # as a bind mount: whatever is above
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as client:
    client.connect(f"/proc/self/fd/{folder}/spool.sock")
    client.sendall(sys.argv[3].encode())
    print(client.recv(100).decode().splitlines()[0])
"""


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFolder:
    folder = SpoolFolder(
        tmp_path / "spool", SpoolLimits(), lambda: datetime.datetime.now(datetime.UTC)
    )
    folder.open()
    return folder


def status_at(path: Path) -> bytes:
    """Of a result that is not there, through a folder that may have a long name."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"/proc/self/fd/{folder}/{path.name}")
        client.sendall(ASK)
        answer = client.recv(100)
    os.close(folder)
    return answer.splitlines()[0]


@pytest.mark.parametrize("name", ["short", "a-name-too-long-for-the-path-of-a-socket" * 4])
async def test_it_serves_while_the_block_runs_and_leaves_nothing(
    spool: SpoolFolder, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name / "spool.sock"
    async with serving(spool_app(spool, NO_KEYS), path):
        assert await asyncio.to_thread(status_at, path) == b"HTTP/1.1 404 Not Found"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_socket_that_a_killed_controller_left_is_replaced(
    spool: SpoolFolder, tmp_path: Path
) -> None:
    path = tmp_path / "spool.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(spool_app(spool, NO_KEYS), path):
        assert await asyncio.to_thread(status_at, path) == b"HTTP/1.1 404 Not Found"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the router a user of its own")
async def test_the_user_of_the_routers_container_reaches_it(
    spool: SpoolFolder, tmp_path: Path
) -> None:
    path = tmp_path / "router" / "spool.sock"
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, ROUTERS_USER, ROUTERS_USER)
    command = [sys.executable, "-c", ASK_AS_ANOTHER_USER, str(path.parent), str(ROUTERS_USER)]
    async with serving(spool_app(spool, NO_KEYS), path):
        done = await asyncio.to_thread(
            subprocess.run, [*command, ASK.decode()], capture_output=True, text=True
        )
    assert done.stdout.strip() == "HTTP/1.1 404 Not Found", done.stderr


def test_the_handshake_is_that_of_the_rfcs_example() -> None:
    lines = handshake("dGhlIHNhbXBsZSBub25jZQ==", None).split(b"\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines


def test_the_close_frame_says_try_again_later() -> None:
    frame = close_frame()
    assert (frame[0], frame[1]) == (0x88, len(frame) - 2)
    assert frame[1] <= 125  # of a control frame
    assert int.from_bytes(frame[2:4], "big") == 1013
