"""Faults in the docker runtime, for containers with our labels and through the engine alone: the
controller may itself be a container that has nothing but the engine's socket.

What concerns processes is done by an `exec` in the node, as its own user. What concerns its
network is done by a container that ends at once, in the node's network and with NET_ADMIN."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError

from controller.adapters.docker import inside
from controller.adapters.docker.containers import LIVE, find, remove, unless_gone
from controller.adapters.docker.engine import Engine
from controller.adapters.docker.node_container import ROLE
from controller.adapters.docker.settings import DockerSettings, hardening
from controller.core.drill.journal import Target
from controller.core.errors import Refused, RuntimeUnavailable

_ROUTER: Final = "router"
_PYTHON: Final = "python3"
_NOTHING: Final = "0"


class DockerFaults:
    """Implements Faults. An instance is a container's id."""

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
        container = self._if_living(target)
        if container is not None and container.status == "paused":  # else the engine calls it wrong
            self._do("thaw", target.node, container.unpause)

    def cut(self, target: Target) -> None:
        self._beside(target, self._living(target), "cut")

    def reconnect(self, target: Target) -> None:
        container = self._if_living(target)
        if container is not None:
            self._beside(target, container, "reconnect")

    def kill_workers(self, target: Target) -> None:
        if self._within(target, self._living(target), "kill-workers") == inside.NOTHING_THERE:
            raise Refused(f"{target.node} has no worker; nothing was broken")

    def forbid_writing(self, target: Target) -> None:
        """Its files cannot grow any more: each write fails with EFBIG, and nobody else's does."""
        self._within(target, self._living(target), "limit-files", _NOTHING)

    def allow_writing(self, target: Target) -> None:
        container = self._if_living(target)
        if container is not None:
            self._within(target, container, "limit-files", "none")

    def kill_router(self) -> None:
        """What `docker kill` has ended the engine does not start again, as it does after a crash:
        that is left to the controller."""
        container = self._router()
        self._do("kill", _ROUTER, container.kill)

    def reload_router(self) -> None:
        container = self._router()
        self._do("reload", _ROUTER, lambda: container.kill(signal="SIGHUP"))

    def _within(self, target: Target, container: Any, *act: str) -> int:
        """The exit status of what was done in the node, by its own user; 0 where it has ended.
        Raises RuntimeUnavailable where that went wrong."""

        def run(_client: Any) -> int:
            done: list[tuple[int, bytes]] = []
            unless_gone(lambda: done.append(container.exec_run([_PYTHON, *_script(act)])))
            return _checked(target, act, *done[0]) if done else 0

        return self._engine.run(f"{act[0]} in {target.node}", run)

    def _beside(self, target: Target, container: Any, act: str) -> None:
        """Done by a container of the node's image that shares its network."""

        def run(client: Any) -> None:
            helper = client.containers.create(**self._helper(container, act))
            try:
                helper.start()
                status = int(helper.wait()["StatusCode"])
                _checked(target, (act,), status, helper.logs())
            except APIError:
                if self._if_living(target) is not None:  # else there is nothing to share any more
                    raise
            finally:
                remove(client, helper)

        self._engine.run(f"{act} {target.node}", run)

    def _helper(self, container: Any, act: str) -> dict[str, Any]:
        network = container.attrs["NetworkSettings"]["Networks"][self._settings.network]
        own = ipaddress.IPv4Interface(f"{network['IPAddress']}/{network['IPPrefixLen']}")
        return hardening("0:0") | {
            "image": container.attrs["Image"],
            "entrypoint": [_PYTHON],
            "command": _script((act, str(own.network))),
            "labels": self._settings.labels("once"),
            "network_mode": f"container:{container.id}",
            "cap_add": ["NET_ADMIN"],
        }

    def _router(self) -> Any:
        container = self._find(_ROUTER, _ROUTER)
        if container is None or container.status not in LIVE:
            raise Refused("the router does not run; nothing was broken")
        return container

    def _living(self, target: Target) -> Any:
        container = self._if_living(target)
        if container is None:
            raise Refused(f"{target.node} has ended, or was started anew; nothing was broken")
        return container

    def _if_living(self, target: Target) -> Any:
        container = self._find(target.node, ROLE)
        if container is None or container.id != target.instance or container.status not in LIVE:
            return None
        return container

    def _find(self, name: str, role: str) -> Any:
        """Our container of that name, or None."""
        return self._engine.run(
            f"look for {name}", lambda client: find(client, self._settings, name, role)
        )

    def _do(self, what: str, name: str, act: Any) -> None:
        self._engine.run(f"{what} {name}", lambda _client: unless_gone(act))


def _script(act: tuple[str, ...]) -> list[str]:
    """Its arguments for Python."""
    return ["-c", Path(inside.__file__).read_text(encoding="utf-8"), *act]


def _checked(target: Target, act: tuple[str, ...], status: int, output: bytes) -> int:
    if status not in {0, inside.NOTHING_THERE}:
        words = output.decode(errors="replace").strip() or "no word why"
        raise RuntimeUnavailable(
            f"cannot {act[0]} in {target.node}: exit status {status}, {words[-300:]}"
        )
    return status
