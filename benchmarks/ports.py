"""Ports for servers that a benchmark or a test starts a moment later."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """On loopback. Below the ports that the kernel gives to outgoing connections (from 32768 on
    Linux): one of those could take it before the server listens."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("none of a hundred ports between 20000 and 32000 is free")
