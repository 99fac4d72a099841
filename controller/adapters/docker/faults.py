"""Faults in the docker runtime: kill, pause and unpause, for containers with our labels."""

from __future__ import annotations

from typing import Any, Final

from docker.errors import NotFound

from controller.adapters.docker.containers import LIVE, unless_gone
from controller.adapters.docker.engine import Engine
from controller.adapters.docker.node_container import ROLE
from controller.adapters.docker.settings import DockerSettings
from controller.core.drill.journal import Target
from controller.core.errors import Refused

_ROUTER: Final = "router"


class DockerFaults:
    """Implements Faults, as far as containers go. An instance is a container's id."""

    def __init__(self, settings: DockerSettings) -> None:
        self._settings = settings
        self._engine = Engine(settings.base_url)

    def target(self, node: str) -> Target:
        container = self._find(node, ROLE)
        if container is None or container.status not in LIVE:
            raise Refused(f"{node} does not run; nothing was broken")
        return Target(node, str(container.id))

    def kill(self, target: Target) -> None:
        container = self._living(target)
        self._do("kill", target.node, container.kill)

    def freeze(self, target: Target) -> None:
        container = self._living(target)
        self._do("freeze", target.node, container.pause)

    def thaw(self, target: Target) -> None:
        container = self._find(target.node, ROLE)
        if container is not None and container.id == target.instance:
            self._do("thaw", target.node, container.unpause)

    def kill_workers(self, target: Target) -> None:
        raise _not_here(target)

    def forbid_writing(self, target: Target) -> None:
        raise _not_here(target)

    def allow_writing(self, target: Target) -> None:
        """Nothing was forbidden."""

    def kill_router(self) -> None:
        container = self._router()
        self._do("kill", _ROUTER, container.kill)

    def reload_router(self) -> None:
        container = self._router()
        self._do("reload", _ROUTER, lambda: container.kill(signal="SIGHUP"))

    def _router(self) -> Any:
        container = self._find(_ROUTER, _ROUTER)
        if container is None or container.status not in LIVE:
            raise Refused("the router does not run; nothing was broken")
        return container

    def _living(self, target: Target) -> Any:
        container = self._find(target.node, ROLE)
        if container is None or container.id != target.instance or container.status not in LIVE:
            raise Refused(f"{target.node} has ended, or was started anew; nothing was broken")
        return container

    def _find(self, name: str, role: str) -> Any:
        """Our container of that name, or None."""

        def find(client: Any) -> Any:
            try:
                container = client.containers.get(self._settings.container_name(name))
            except NotFound:
                return None
            return container if self._settings.is_ours(container.labels, role) else None

        return self._engine.run(f"look for {name}", find)

    def _do(self, what: str, name: str, act: Any) -> None:
        self._engine.run(f"{what} {name}", lambda _client: unless_gone(act))


def _not_here(target: Target) -> Refused:
    return Refused(f"this is not done to containers such as {target.node}; nothing was broken")
