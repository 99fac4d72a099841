"""The bridge network that a service's nodes and its router share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound

from controller.adapters.docker.settings import DockerSettings


@contextmanager
def service_network(client: Any, settings: DockerSettings) -> Iterator[None]:
    """It exists while the block runs: create the container in it, which keeps it from then on."""
    with _one_at_a_time(settings):
        try:
            client.networks.get(settings.network)
        except NotFound:
            client.networks.create(settings.network, driver="bridge")
        yield


def remove_unused_network(client: Any, settings: DockerSettings) -> None:
    """Unless a container is on it, running or not. The next start makes it again."""
    with _one_at_a_time(settings):
        on_it = {"network": settings.network}
        if client.containers.list(all=True, filters=on_it, ignore_removed=True):
            return
        try:
            client.networks.get(settings.network).remove()
        except NotFound:
            return
        except APIError as error:
            if error.status_code != HTTPStatus.FORBIDDEN:  # in use after all
                raise


@contextmanager
def _one_at_a_time(settings: DockerSettings) -> Iterator[None]:
    """For threads and processes alike. Docker itself lets two that race make two networks of one
    name, and then refuses to start containers in either."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.state_dir / "network.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
