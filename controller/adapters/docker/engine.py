"""The one seam to the Docker engine: it connects, calls in threads, translates errors."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, TypeVar

import requests
from docker.client import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound

from controller.core.errors import RuntimeUnavailable

CALL_SECONDS: Final = 60
_DEFAULT_SOCKET: Final = "unix:///var/run/docker.sock"
_T = TypeVar("_T")


class Engine:
    """`base_url` None takes DOCKER_HOST, or else Docker's default socket. Connects at the first
    call, so that building one needs no engine."""

    def __init__(self, base_url: str | None = None) -> None:
        self.url = base_url or os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET
        self._explicit = base_url
        self._client: Any = None
        self._connecting = threading.Lock()

    async def call(self, doing: str, function: Callable[..., _T], *arguments: Any) -> _T:
        """`function(client, *arguments)` in a thread. `doing` completes "cannot …"; whatever
        `function` does not handle becomes RuntimeUnavailable."""
        return await asyncio.to_thread(self._call, doing, function, *arguments)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)

    def _call(self, doing: str, function: Callable[..., _T], *arguments: Any) -> _T:
        with self._translated(doing):
            return function(self._connected(), *arguments)

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                _check_socket(self.url)
                self._client = (
                    DockerClient(base_url=self._explicit, timeout=CALL_SECONDS)
                    if self._explicit
                    else DockerClient.from_env(timeout=CALL_SECONDS)
                )
            return self._client

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ImageNotFound as error:
            raise RuntimeUnavailable(
                f"cannot {doing}: the engine has no such image ({error.explanation}); what runs "
                f"goes on. Build it with `make images`, or pull it"
            ) from error
        except APIError as error:
            raise RuntimeUnavailable(
                f"cannot {doing}: {error.explanation or error}; the other containers go on"
            ) from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise RuntimeUnavailable(
                f"cannot {doing}: no Docker engine answers at {self.url} ({error}); containers "
                f"that ran may still run. Start Docker, set DOCKER_HOST, or use "
                f"`--runtime process`"
            ) from error


def is_conflict(error: APIError) -> bool:
    """A name that is taken, a container that does not run, a removal under way."""
    return bool(error.status_code == HTTPStatus.CONFLICT)


def _check_socket(url: str) -> None:
    """Fail at once and with the system's own words where nobody listens."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CALL_SECONDS)
            probe.connect(url.removeprefix("unix://"))
