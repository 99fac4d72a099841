"""The port of the router, held beside nginx: while a killed nginx is started again, connections
wait in the kernel's queue instead of being refused."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from typing import Final

# By which an nginx hands its sockets to the one that is to follow it (ngx_add_inherited_sockets);
# it takes those that it is configured to listen on, and opens the others itself.
_VARIABLE: Final = "NGINX"
_WAITING: Final = 511  # connections, as nginx has it


class HeldPort:
    """`open` before nginx starts; `close` where none is to come: whoever asks is then refused at
    once. What it holds ends with this process; an nginx that runs goes on. Blocking."""

    def __init__(self, address: str, port: int) -> None:
        """`address` is an IP address."""
        self._at = address, port
        self._family = (
            socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        )
        self._socket: socket.socket | None = None

    def open(self) -> tuple[tuple[int, ...], Mapping[str, str]]:
        """The descriptors to start nginx with, and what to say of them in its environment.
        Neither where the port cannot be had: nginx says better why not."""
        if self._socket is None:
            with contextlib.suppress(OSError):
                self._socket = self._opened()
        if self._socket is None:
            return (), {}
        number = self._socket.fileno()
        return (number,), {_VARIABLE: f"{number};"}

    def close(self) -> None:
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _opened(self) -> socket.socket:
        with contextlib.ExitStack() as unless_it_listens:
            opened = unless_it_listens.enter_context(socket.socket(self._family))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._family is socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind(self._at)
            opened.listen(_WAITING)
            opened.setblocking(False)
            unless_it_listens.pop_all()
            return opened
