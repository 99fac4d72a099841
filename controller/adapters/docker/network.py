"""The bridge network that a service's nodes and its router share."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from docker.errors import APIError, NotFound

from controller.adapters.docker.engine import is_conflict
from controller.adapters.docker.settings import DockerSettings


def create_network(client: Any, settings: DockerSettings) -> None:
    """Unless it exists."""
    try:
        client.networks.get(settings.network)
    except NotFound:
        try:
            client.networks.create(settings.network, driver="bridge", check_duplicate=True)
        except APIError as error:
            if not is_conflict(error):  # another was faster
                raise


def remove_unused_network(client: Any, settings: DockerSettings) -> None:
    """Unless a container is on it, running or not. The next start makes it again."""
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
