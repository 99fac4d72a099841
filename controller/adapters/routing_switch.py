"""Switch the router that runs, without anything else: `rollback` does so with the controller dead.

Standard library only, so that it starts at once. The value is `Routing.to_dict()`."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Any, Final

from controller.adapters.files import write_atomically
from controller.adapters.unix_socket import is_short, short_name
from controller.core.errors import RouterUnavailable

ROUTING: Final = "routing.json"
SOCKET: Final = "control.sock"  # where nginx begins to listen
LIVE_SOCKET: Final = "live.sock"  # what that becomes: a killed nginx leaves no name in the way


def begun_socket(run_dir: Path) -> Path:
    """Where the router of `run_dir` begins to listen for us: inside it, or where its path is too
    long for a socket, in a short folder of temporary files that only we may enter."""
    inside = run_dir / SOCKET
    known = inside.exists() or inside.with_name(LIVE_SOCKET).exists()
    if known or is_short(inside):
        return inside
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"asr-router-{os.getuid()}-{digest}" / SOCKET


def control_socket(run_dir: Path) -> Path:
    """Where the router of `run_dir` listens for us now. One that was started anew, by Docker, is
    found where it began, and its socket taken aside: a name that a killed nginx leaves would
    keep the next one from starting."""
    begun = begun_socket(run_dir)
    live = begun.with_name(LIVE_SOCKET)
    if _is_listening(live) or not _is_listening(begun):
        _close_to_others(live)
        return live
    with contextlib.suppress(FileNotFoundError):  # another of us was faster, or nginx itself
        begun.chmod(0o600)
        begun.replace(live)
    return live


def _close_to_others(path: Path) -> None:
    """nginx opens its sockets to everybody, and what it took aside by itself is still so."""
    with contextlib.suppress(OSError):  # it has gone
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def forget_sockets(run_dir: Path) -> None:
    """Of a router that ended."""
    begun = begun_socket(run_dir)
    for path in (begun.with_name(LIVE_SOCKET), begun):
        path.unlink(missing_ok=True)


def read_routing(run_dir: Path) -> dict[str, Any] | None:
    """The routing that was last written down; None where there never was one."""
    try:
        value: dict[str, Any] = json.loads((run_dir / ROUTING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value


def write_routing(run_dir: Path, value: dict[str, Any]) -> None:
    """Write the routing down for the next start of nginx: wholly or not at all."""
    write_atomically(run_dir / ROUTING, json.dumps(value))


def switch(control_socket: Path, value: dict[str, Any], timeout_seconds: float = 0.5) -> None:
    """Put `value` in effect, for all workers and from their next request on.

    Raises RouterUnavailable."""
    status, answer = request(control_socket, "PUT", timeout_seconds, json.dumps(value))
    if status != 200:
        raise RouterUnavailable(f"the router refused a routing ({status}): {answer}; the one "
                                f"before holds")  # fmt: skip


def inspect(control_socket: Path, timeout_seconds: float = 0.5) -> dict[str, Any]:
    """What the router serves with: `generation`, `groups` and `routing`.

    Raises RouterUnavailable."""
    status, answer = request(control_socket, "GET", timeout_seconds)
    if status != 200:
        raise RouterUnavailable(f"the router answered {status} on its control socket")
    return answer


def serving(run_dir: Path, group: str) -> bool | None:
    """Whether the router has nodes of `group`; None where it does not answer."""
    try:
        return group in inspect(control_socket(run_dir))["groups"]
    except RouterUnavailable:
        return None


def request(
    control_socket: Path, method: str, timeout_seconds: float, body: str | None = None
) -> tuple[int, dict[str, Any]]:
    """One request for /routing: status and JSON. Raises RouterUnavailable."""
    connection = _UnixConnection(control_socket, timeout_seconds)
    try:
        connection.request(method, "/routing", body)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        return response.status, answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RouterUnavailable(
            f"nginx does not answer on {control_socket}: {error!r}; what it serves is unchanged"
        ) from error
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("router", timeout=timeout_seconds)
        self._path = path
        self._timeout_seconds = timeout_seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_seconds)
        _connect(self.sock, self._path)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            _connect(probe, path)
        except TimeoutError:
            return True  # its queue is full
        except OSError:
            return False
        return True


def _connect(connection: socket.socket, path: Path) -> None:
    with short_name(path) as name:
        connection.connect(name)
