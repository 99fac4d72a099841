"""Nodes as containers: one each, on the service's own bridge network.

Host and router reach a node by its address on that network; nothing is published. Its data
folder is a bind mount below the state folder, so it outlives the node. A stop waits in the event
loop and not in a thread: twenty drains must not hold up a start."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from docker.errors import APIError, NotFound

from controller.adapters.docker.containers import LIVE, find, remove, unless_gone
from controller.adapters.docker.engine import Engine, is_conflict
from controller.adapters.docker.network import remove_unused_network, service_network
from controller.adapters.docker.node_container import (
    ROLE,
    data_folder,
    hub_folder,
    node_container,
    observed_node,
    uses_hub,
)
from controller.adapters.docker.settings import DockerSettings, label, label_filter, make_folder
from controller.adapters.model_files import check_models
from controller.adapters.node_arguments import write_hotwords
from controller.core.errors import Refused, RuntimeUnavailable
from controller.engine.ports.runtime import NodeSpec, ObservedNode

_POLL_SECONDS: Final = 0.1
_KILL_SECONDS: Final = 10.0
_ATTEMPTS: Final = 5


class DockerRuntime:
    """Implements the Runtime port. Sees and touches only containers with its service's and its
    state folder's labels."""

    name = "docker"

    def __init__(self, settings: DockerSettings) -> None:
        self._settings = settings
        self._engine = Engine(settings.base_url)

    async def missing(self) -> str | None:
        """Why nodes cannot run here and what to do about it, or None: for `doctor` and `auto`."""
        try:
            for image in (self._settings.image, self._settings.router_image):
                await self._engine.call(f"use {image}", _check_image, image)
        except RuntimeUnavailable as error:
            return str(error)
        finally:
            await self._engine.close()  # until the next call: who asks may not use us
        return None

    async def observe(self) -> tuple[ObservedNode, ...]:
        return await self._engine.call("list the nodes", self._observe)

    async def start(self, spec: NodeSpec) -> None:
        await self._engine.call(f"start node {spec.name}", self._start, spec)

    async def stop(self, name: str, grace_seconds: float) -> None:
        doing = f"stop node {name}"
        await self._engine.call(doing, self._signal, name, "SIGTERM")
        await self._until_ended(doing, name, grace_seconds)
        await self._engine.call(doing, self._remove, name)

    async def kill(self, name: str) -> None:
        doing = f"kill node {name}"
        await self._engine.call(doing, self._signal, name, "SIGKILL")
        if not await self._until_ended(doing, name, _KILL_SECONDS):
            raise RuntimeUnavailable(
                f"cannot {doing}: it still runs {_KILL_SECONDS:.0f} s after SIGKILL; the other "
                f"nodes go on. Look at `docker inspect {self._settings.container_name(name)}`"
            )

    async def last_log(self, name: str, lines: int = 20) -> str:
        return await self._engine.call(f"read the log of {name}", self._last_log, name, lines)

    async def close(self) -> None:
        await self._engine.close()

    async def _until_ended(self, doing: str, name: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while await self._engine.call(doing, self._is_live, name):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _observe(self, client: Any) -> tuple[ObservedNode, ...]:
        ours = label_filter(self._settings.labels(ROLE))
        found = client.containers.list(all=True, filters=ours, ignore_removed=True)
        nodes = (observed_node(container.attrs, self._settings) for container in found)
        return tuple(sorted(nodes, key=lambda node: node.name))

    def _start(self, client: Any, spec: NodeSpec) -> None:
        """Two that race meet at the name, which the engine gives only once."""
        for _ in range(_ATTEMPTS):
            container = self._find(client, spec.name)
            if container is None:
                container = self._create(client, spec)
            elif container.status in LIVE:
                return
            elif not _is_fresh(container, spec):
                remove(client, container)
                continue
            if container and _begin(client, container):
                return
        raise RuntimeUnavailable(
            f"cannot start node {spec.name}: its container keeps vanishing; the other nodes go on. "
            f"Does something else remove {self._settings.container_name(spec.name)}?"
        )

    def _create(self, client: Any, spec: NodeSpec) -> Any:
        """The new container, or None where another was faster."""
        self._prepare(spec)
        try:
            with service_network(client, self._settings):
                return client.containers.create(**node_container(spec, self._settings))
        except APIError as error:
            if is_conflict(error):
                self._refuse_foreign(client, spec.name)
                return None
            raise

    def _prepare(self, spec: NodeSpec) -> None:
        try:
            check_models(spec.version, f"cannot start node {spec.name}")
        except Refused as error:
            raise RuntimeUnavailable(str(error)) from error
        data = data_folder(self._settings, spec.name)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_hotwords(data, spec.version)
        try:
            self._settings.api_keys.hand_to(data)
        except (OSError, ValueError) as error:
            raise RuntimeUnavailable(
                f"cannot start node {spec.name}: {error}; the other nodes go on"
            ) from error
        make_folder(data)
        if uses_hub(spec.version):
            make_folder(hub_folder(self._settings))

    def _refuse_foreign(self, client: Any, name: str) -> None:
        full_name = self._settings.container_name(name)
        try:
            labels = client.containers.get(full_name).labels
        except NotFound:
            return
        if not self._settings.is_ours(labels, ROLE):
            raise RuntimeUnavailable(
                f"cannot start node {name}: a container {full_name} exists that belongs to another "
                f"state folder; it goes on. Remove it with `docker rm -f {full_name}`, or give "
                f"this fleet another `service`"
            )

    def _find(self, client: Any, name: str) -> Any:
        """Our container of that name, or None."""
        return find(client, self._settings, name, ROLE)

    def _is_live(self, client: Any, name: str) -> bool:
        container = self._find(client, name)
        return bool(container and container.status in LIVE)

    def _signal(self, client: Any, name: str, signal: str) -> None:
        """Also wakes a paused container, so that the signal arrives."""
        if container := self._find(client, name):
            unless_gone(lambda: container.kill(signal=signal))

    def _remove(self, client: Any, name: str) -> None:
        if container := self._find(client, name):
            remove(client, container)
        remove_unused_network(client, self._settings)

    def _last_log(self, client: Any, name: str, lines: int) -> str:
        container = self._find(client, name)
        if container is None:
            return ""
        return str(container.logs(tail=lines).decode(errors="replace")).strip()


def _check_image(client: Any, image: str) -> None:
    client.images.get(image)


def _is_fresh(container: Any, spec: NodeSpec) -> bool:
    """Created for this version and never started: by another caller, or before a crash."""
    asked = {label("version"): spec.version.name, label("device"): spec.device}
    return bool(container.status == "created" and asked.items() <= container.labels.items())


def _begin(client: Any, container: Any) -> bool:
    """False where it vanished meanwhile. One that cannot be started is removed: it would look
    like a node that ended."""
    try:
        container.start()
    except NotFound:
        return False
    except APIError:
        remove(client, container)
        raise
    return True
