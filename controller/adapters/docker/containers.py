"""What is done to one container, whoever else does the same at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from docker.errors import APIError, NotFound

from controller.adapters.docker.engine import is_conflict
from controller.adapters.docker.settings import DockerSettings

LIVE: Final = frozenset({"running", "paused", "restarting"})
_POLL_SECONDS: Final = 0.1
_REMOVE_SECONDS: Final = 10.0


def find(client: Any, settings: DockerSettings, name: str, role: str) -> Any:
    """Our container of that name, or None."""
    try:
        container = client.containers.get(settings.container_name(name))
    except NotFound:
        return None
    return container if settings.is_ours(container.labels, role) else None


def remove(client: Any, container: Any) -> None:
    """SIGKILL if it runs, remove, and return when it is gone, whoever removed it."""
    unless_gone(lambda: container.remove(force=True))
    deadline = time.monotonic() + _REMOVE_SECONDS
    while _exists(client, container.id) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def unless_gone(action: Callable[[], None]) -> None:
    """A container that is gone, has ended or is being removed is what the caller wanted."""
    try:
        action()
    except NotFound:
        return
    except APIError as error:
        if not is_conflict(error):
            raise


def _exists(client: Any, container_id: str) -> bool:
    try:
        client.containers.get(container_id)
    except NotFound:
        return False
    return True
