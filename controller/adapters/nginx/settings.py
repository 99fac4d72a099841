"""What the router is set up with; everything else about it changes while it runs."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.core.errors import InvalidConfig
from controller.core.spool import SpoolWhen

_MOST_WORKERS: Final = 8
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """`host` and `port` are where clients reach the router; `bind_host` and `bind_port` where
    nginx listens, if that differs (in a container). Sizes in bytes, times in seconds."""

    run_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    bind_host: str = ""
    bind_port: int = 0
    stream_drain_seconds: int = 3600  # how long a stream of an old configuration may go on
    max_body_bytes: int = 512 * 1024 * 1024
    timeout_seconds: int = 300
    connect_timeout_seconds: int = 2
    cookie: str = "asr_sticky"
    jwt_key_file: Path | None = None  # the HS256 secret that role rules verify tokens with
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For names the client
    spool_when: SpoolWhen = SpoolWhen.ASKED  # which requests are kept that no node could serve
    worker_processes: int | None = None  # None: one for each core, at most 8
    worker_connections: int = 4096

    def __post_init__(self) -> None:
        for name in ("port", "bind_port"):
            port = getattr(self, name)
            _require(0 < port < 65536 or (name == "bind_port" and port == 0), name, port)
        for name in ("host", "bind_host"):
            host = getattr(self, name)
            _require(_is_address(host) or (name == "bind_host" and host == ""), name, host)
        for name in ("stream_drain_seconds", "max_body_bytes", "timeout_seconds",
                     "connect_timeout_seconds", "worker_connections"):  # fmt: skip
            value = getattr(self, name)
            _require(isinstance(value, int) and value > 0, name, value)
        _require(_TOKEN.fullmatch(self.cookie), "cookie", self.cookie)
        _require(self.worker_processes is None or self.worker_processes > 0,
                 "worker_processes", self.worker_processes)  # fmt: skip
        for proxy in self.trusted_proxies:
            _require(_is_network(proxy), "trusted_proxies", proxy)

    @property
    def workers(self) -> int:
        """Eight pass on far more than speech nodes take in; and each reload leaves as many old ones
        for a while, which on a machine of a hundred cores would be a hundred."""
        return self.worker_processes or min(os.cpu_count() or 1, _MOST_WORKERS)

    @property
    def url(self) -> str:
        return f"http://{_bracketed(self.host)}:{self.port}"

    @property
    def listen(self) -> str:
        return f"{_bracketed(self.bind_host or self.host)}:{self.bind_port or self.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_address(text: str) -> bool:
    """An address without a zone: a zone's name could be any text."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "%" not in text


def _require(fact: object, name: str, value: object) -> None:
    if not fact:
        raise InvalidConfig(f"router: {name}: {value!r} is not valid")
