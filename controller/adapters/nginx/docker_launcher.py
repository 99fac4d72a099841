"""nginx in a container on the nodes' network, so that it reaches nodes by their addresses.

It is the data plane: with or without a controller, a killed nginx is started again by the
container's PID 1, which holds its port (keeper.py), and the container by Docker after a crash or
a reboot. Its folder, with the control socket, is a bind mount that the controller shares: nginx
takes the socket's name aside as soon as it listens (sockets.js)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.types import Mount

from controller.adapters.docker.containers import remove, unless_gone
from controller.adapters.docker.engine import Engine
from controller.adapters.docker.network import remove_unused_network, service_network
from controller.adapters.docker.settings import (
    DockerSettings,
    container_user,
    hardening,
    label,
    make_folder,
)
from controller.adapters.routing_switch import LIVE_SOCKET, SOCKET
from controller.core.errors import RouterUnavailable

ROLE: Final = "router"
CONFIG_ROOT: Final = Path("/run/router")
_BINARY: Final = "/usr/sbin/nginx"
_KEEPER: Final = ("python3", "-S", "-m", "controller.adapters.nginx.keeper")  # as PID 1
_ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104
_SILENT_CUT: Final[Mapping[str, str]] = {  # is noticed after 13 s
    # where an answer is awaited (by default 2 hours)
    "net.ipv4.tcp_keepalive_time": "5",
    "net.ipv4.tcp_keepalive_intvl": "3",
    "net.ipv4.tcp_keepalive_probes": "3",
    # and where the request itself never arrives, over a kept connection (by default 15 minutes);
    # the price: a client that takes nothing of its answer for as long is given up, too
    "net.ipv4.tcp_retries2": "5",
}
_POLL_SECONDS: Final = 0.05
_TERM_SECONDS: Final = 2.0


class DockerLauncher:
    """Implements Launcher. Published at `host`:`port`; the configuration listens on the same
    port, on all of the container's addresses."""

    def __init__(self, settings: DockerSettings, run_dir: Path, host: str, port: int) -> None:
        self.config_root = CONFIG_ROOT
        self._settings = settings
        self._run_dir = run_dir.absolute()
        self._published = (host, port)
        self._engine = Engine(settings.base_url, RouterUnavailable)

    def build_info(self) -> str:
        return self._engine.run("ask nginx for its version", self._once, ["-V"])[1]

    def is_running(self) -> bool:
        container = self._engine.run("look for the router", self._find)
        return bool(container and container.status in {"running", "paused"})

    def start(self) -> None:
        host, port = self._published
        self._engine.run(f"start the router at {host}:{port}", self._start)

    def test(self, configuration: Path) -> str | None:
        arguments = ["-t", "-c", str(configuration)]
        status, words = self._engine.run("test a configuration", self._in_or_once, arguments)
        return None if status == 0 else words

    def reload(self) -> None:
        make_folder(self._run_dir)
        self._engine.run("reload the router", self._signal, "SIGHUP")

    def reopen_logs(self) -> None:
        self._engine.run("reopen the router's logs", self._signal, "SIGUSR1")

    def replace(self, grace_seconds: float) -> None:
        """The container stays, with its port: only one that hangs is stopped."""
        if grace_seconds and self._is_serving():
            self._engine.run("replace nginx in the router", self._signal, "SIGUSR2")
        else:
            self.stop(grace_seconds)
            self.start()

    def let_go(self) -> None:
        """Docker publishes no port of a container that does not run."""

    def stop(self, grace_seconds: float) -> None:
        for signal, seconds in {"SIGQUIT": grace_seconds, "SIGTERM": _TERM_SECONDS}.items():
            if self._is_serving():
                self._engine.run("stop the router", self._signal, signal)
                self._wait_until_ended(seconds)
        self._engine.run("remove the router", self._remove)
        self.close()

    def close(self) -> None:
        """Release the connection, until the next call; nginx keeps running."""
        self._engine.close_now()

    def _is_serving(self) -> bool:
        """Not frozen: no signal but KILL reaches a paused container."""
        container = self._engine.run("look for the router", self._find)
        return bool(container and container.status == "running")

    def _wait_until_ended(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._is_serving() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _start(self, client: Any) -> None:
        container = self._find(client)
        if container and container.status in {"running", "paused"} and self._is_as_asked(container):
            return
        if container:
            remove(client, container)
        self._remove_sockets()
        make_folder(self._run_dir)
        with service_network(client, self._settings):
            created = client.containers.create(**self._container())
        try:
            created.start()
        except APIError:  # the port is taken, for one
            remove(client, created)
            raise

    def _container(self) -> dict[str, Any]:
        host, port = self._published
        return self._nginx() | {
            "name": self._settings.container_name(ROLE),
            "entrypoint": [*_KEEPER, _ALL_ADDRESSES, str(port), SOCKET],
            "command": [_BINARY, "-c", str(CONFIG_ROOT / "nginx.conf"), "-g", "daemon off;"],
            "labels": self._settings.labels(ROLE) | {label("published"): f"{host}:{port}"},
            "network": self._settings.network,
            "ports": {f"{port}/tcp": (host, port)},
            "sysctls": dict(_SILENT_CUT),
            "restart_policy": {"Name": "always"},  # unless-stopped takes our HUP for a stop
            "detach": True,
        }

    def _nginx(self) -> dict[str, Any]:
        """Without capabilities; Docker lets any user listen below port 1024 in a container."""
        mount = Mount(str(CONFIG_ROOT), str(self._run_dir), type="bind")
        return hardening(container_user()) | {
            "image": self._settings.router_image,
            "mounts": [mount],
            "working_dir": str(CONFIG_ROOT),
        }

    def _is_as_asked(self, container: Any) -> bool:
        asked = self._container()["labels"]
        return bool(asked.items() <= container.labels.items())

    def _in_or_once(self, client: Any, arguments: list[str]) -> tuple[int, str]:
        """Where nginx runs in its container, which is faster, else in one for this call."""
        make_folder(self._run_dir)
        container = self._find(client)
        if container and container.status == "running":
            status, output = container.exec_run([_BINARY, *arguments])
            return int(status), _text(output)
        return self._once(client, arguments)

    def _once(self, client: Any, arguments: list[str]) -> tuple[int, str]:
        """The exit status and the words of nginx in a container of its own."""
        make_folder(self._run_dir)
        labels = self._settings.labels("once")
        container = client.containers.create(
            command=arguments, network_mode="none", labels=labels, **self._nginx()
        )
        try:
            container.start()
            status = container.wait()["StatusCode"]
            return int(status), _text(container.logs())
        finally:
            remove(client, container)

    def _signal(self, client: Any, signal: str) -> None:
        container = self._find(client)
        if container is None or container.status != "running":
            raise RouterUnavailable(
                f"cannot send {signal} to the router: its container does not run; start it first"
            )
        unless_gone(lambda: container.kill(signal=signal))

    def _find(self, client: Any) -> Any:
        """Our container, or None."""
        try:
            container = client.containers.get(self._settings.container_name(ROLE))
        except NotFound:
            return None
        return container if self._settings.is_ours(container.labels, ROLE) else None

    def _remove(self, client: Any) -> None:
        if container := self._find(client):
            remove(client, container)
        remove_unused_network(client, self._settings)

    def _remove_sockets(self) -> None:
        """A killed nginx leaves them, and the next one could not bind. The spool's is ours."""
        for name in (SOCKET, LIVE_SOCKET):
            for path in self._run_dir.rglob(name):
                if path.is_socket():
                    path.unlink()


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip()
