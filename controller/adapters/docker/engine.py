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

from controller.core.errors import ControllerError, RuntimeUnavailable

CALL_SECONDS: Final = 60
_DEFAULT_SOCKET: Final = "unix:///var/run/docker.sock"
_T = TypeVar("_T")


class Engine:
    """`base_url` None takes DOCKER_HOST, or else Docker's default socket. Connects at the first
    call, so that building one needs no engine. What a call's function does not handle itself
    becomes `failure`."""

    def __init__(
        self, base_url: str | None = None, failure: type[ControllerError] = RuntimeUnavailable
    ) -> None:
        self._failure = failure
        self.url = base_url or os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET
        self._explicit = base_url
        self._client: Any = None
        self._connecting = threading.Lock()

    async def call(self, doing: str, function: Callable[..., _T], *arguments: Any) -> _T:
        """`run` in a thread."""
        return await asyncio.to_thread(self.run, doing, function, *arguments)

    def run(self, doing: str, function: Callable[..., _T], *arguments: Any) -> _T:
        """`function(client, *arguments)`; `doing` completes "cannot …" in a message."""
        with self._translated(doing):
            return function(self._connected(), *arguments)

    async def close(self) -> None:
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

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
        except (DockerException, requests.RequestException, OSError) as error:
            raise self._failure(f"cannot {doing}: {self._explained(error)}") from error

    def _explained(self, error: Exception) -> str:
        match error:
            case ImageNotFound():
                return (
                    f"the engine has no such image ({error.explanation}); what runs goes on. "
                    f"Build it with `make images`, or pull it"
                )
            case APIError():
                return f"{error.explanation or error}; the other containers go on"
            case _:
                return (
                    f"no Docker engine answers at {self.url} ({error}); containers that ran may "
                    f"still run. Start Docker, set DOCKER_HOST, or use `--runtime process`"
                )


def is_conflict(error: APIError) -> bool:
    """A name that is taken, a container that does not run, a removal under way."""
    return bool(error.status_code == HTTPStatus.CONFLICT)


def _check_socket(url: str) -> None:
    """Fail at once and with the system's own words where nobody listens."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CALL_SECONDS)
            probe.connect(url.removeprefix("unix://"))
