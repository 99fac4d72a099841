"""asr-node: one speech node, in the foreground."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from asr_node import log
from asr_node.data_dir import held
from asr_node.errors import StartRefused
from asr_node.history.database import check_url
from asr_node.options import HISTORY_URL, parser, version_of
from asr_node.recognizers import check_models
from asr_node.settings import Settings

BACKLOG: Final = 2048


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after SIGTERM; 1 refused or failed; 2 wrong usage (argparse exits)."""
    settings = read_arguments(arguments)
    log.configure()
    try:
        check_models(settings)
        check_url(settings.history_url)
        with held(settings.data_dir), bind(settings.host, settings.port) as listening:
            status = _serve(settings, listening)
    except StartRefused as error:
        print(f"asr-node: {error}", file=sys.stderr)
        return 1
    from asr_node.server import leave

    leave(status)
    return status


def _serve(settings: Settings, listening: socket.socket) -> int:
    """The heavy imports come after everything that can be refused."""
    from asr_node.node import Node
    from asr_node.server import serve

    return serve(Node(settings), listening)


def read_arguments(arguments: Sequence[str] | None) -> Settings:
    parsed = parser().parse_args(arguments)
    values = vars(parsed)
    values["version"] = parsed.version or version_of(parsed.model)
    if values["data_dir"] is None:
        values["data_dir"] = Path(".asr-rollout") / "nodes" / parsed.name
    values["history_url"] = values["history_url"] or os.environ.get(HISTORY_URL) or None
    return Settings(**values)


def bind(host: str, port: int) -> socket.socket:
    """Listening already: two sockets may bind one address, only one can listen.

    Raises StartRefused where the address is taken."""
    try:
        listening = _listen(host, port)
    except OSError as error:
        raise StartRefused(
            f"cannot listen on {host}:{port}: {error.strerror}; nothing was started and whoever "
            "listens there goes on. Give another --host or --port (0 picks a free one)."
        ) from error
    if not ip_address(listening.getsockname()[0]).is_loopback:
        log.event(
            "host.exposed",
            level=logging.WARNING,
            host=host,
            reason="keep it behind the router, or ask its clients for keys: --api-keys-file",
        )
    return listening


def _listen(host: str, port: int) -> socket.socket:
    """With the protocol left at 0 asyncio would not set TCP_NODELAY: 40 ms on each answer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
