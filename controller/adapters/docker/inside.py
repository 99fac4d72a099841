"""What is done in a container of ours, by `python3 -c` with the text of this file. It imports
nothing but the standard library, for that is all a node's image is sure to have.

    kill-workers           SIGKILL for the processes that hold the model
    limit-files BYTES|none the largest file that the processes here may write from now on
    cut SUBNET             answers to anybody, beginning with that subnet, vanish without a word
    reconnect SUBNET       they arrive again

Exit status 3: there is nothing to do it to."""

from __future__ import annotations

import errno
import ipaddress
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

NOTHING_THERE = 3
_WORKER = b"asr_node.worker"

_ADD_ROUTE, _DELETE_ROUTE = 24, 25
_REQUEST, _ACKNOWLEDGE, _CREATE, _REPLACE = 0x1, 0x4, 0x400, 0x100
_MAIN_TABLE, _STATIC, _BLACKHOLE = 254, 4, 6
_UNIVERSE, _NOWHERE = 0, 255
_DESTINATION = 1
_HEADER, _ROUTE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=8BI"), struct.Struct("=HH")


def kill_workers() -> int:
    workers = [pid for pid in _others() if _WORKER in _command_line(pid)]
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return 0 if workers else NOTHING_THERE


def limit_files(most_bytes: str) -> int:
    for pid in _others():
        with suppress(ProcessLookupError, PermissionError):  # the engine's own init, for one
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            soft = hard if most_bytes == "none" else int(most_bytes)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    return 0


def cut(subnet: str) -> int:
    """Routes to nowhere: a packet that has no way out is dropped in silence, as by a dead switch.
    They are narrower than those that are there, which stay as they are."""
    for network in _halves(subnet):
        _change_route(_ADD_ROUTE, _CREATE | _REPLACE, _UNIVERSE, network)
    return 0


def reconnect(subnet: str) -> int:
    for network in _halves(subnet):
        with suppress(ProcessLookupError):  # ESRCH: no such route
            _change_route(_DELETE_ROUTE, 0, _NOWHERE, network)
    return 0


def _others() -> Iterator[int]:
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return (pid for pid in found if pid != os.getpid())


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def _halves(subnet: str) -> Iterator[ipaddress.IPv4Network]:
    """Of that network, which is nearest, and of all the world."""
    for network in (ipaddress.IPv4Network(subnet), ipaddress.IPv4Network("0.0.0.0/0")):
        yield from network.subnets()


def _change_route(kind: int, flags: int, scope: int, network: ipaddress.IPv4Network) -> None:
    """By netlink (man 7 rtnetlink), for the images have no `ip`. Raises OSError."""
    address = network.network_address.packed
    route = _ROUTE.pack(
        socket.AF_INET, network.prefixlen, 0, 0, _MAIN_TABLE, _STATIC, scope, _BLACKHOLE, 0
    )
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), _DESTINATION) + address
    body = route + attribute
    header = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | _ACKNOWLEDGE | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(header + body)
        answer = kernel.recv(4096)
    (status,) = struct.unpack_from("=i", answer, _HEADER.size)
    if status:
        raise OSError(-status, f"{errno.errorcode.get(-status)}: route to {network}")


ACTS: dict[str, Callable[..., int]] = {
    "kill-workers": kill_workers,
    "limit-files": limit_files,
    "cut": cut,
    "reconnect": reconnect,
}

if __name__ == "__main__":
    sys.exit(ACTS[sys.argv[1]](*sys.argv[2:]))
