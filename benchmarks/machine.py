"""The processes and containers of a fleet, as the operating system and Docker see them: to kill
one, and to see at the end that none is left."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from docker.client import DockerClient
from docker.errors import DockerException

from controller.adapters.docker.settings import label


@dataclass(slots=True)
class Watch:
    """Remembers every process that belonged to `folder`: nginx's workers, for one, do not name
    it, but their master does."""

    folder: Path
    _seen: set[psutil.Process] = field(default_factory=set)

    def look(self) -> None:
        """Call it now and then while the fleet runs."""
        for process in self._named():
            self._seen.add(process)
            with contextlib.suppress(psutil.Error):
                self._seen.update(process.children(recursive=True))

    def left(self) -> list[str]:
        """Command lines of those that still run."""
        self.look()
        return sorted(filter(None, map(_command, self._seen)))

    def kill(self) -> None:
        """The last resort, after everything else has been tried."""
        self.look()
        for process in self._seen:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _named(self) -> list[psutil.Process]:
        own = psutil.Process()
        mine = {own, *own.parents()}  # a shell that was given the folder is no leftover
        found = psutil.process_iter(["cmdline"])
        folder = str(self.folder)
        return [
            process
            for process in found
            if process not in mine and any(folder in part for part in process.info["cmdline"] or ())
        ]


def _command(process: psutil.Process) -> str | None:
    """None where it has ended; psutil compares start times, so a reused pid is another one."""
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return None


def containers_left(service: str) -> list[str]:
    """Names of the service's containers, running or not; none where no engine answers."""
    try:
        client = DockerClient.from_env()
    except DockerException:
        return []
    try:
        wanted = {"label": f"{label('service')}={service}"}
        return [
            container.name
            for container in client.containers.list(all=True, filters=wanted, ignore_removed=True)
        ]
    finally:
        client.close()


def kill_process(state_dir: Path, node: str) -> None:
    """SIGKILL to the node's process, known by its command line."""
    data_dir = str(state_dir / "nodes" / node)
    for process in psutil.process_iter(["cmdline"]):
        if data_dir in (process.info["cmdline"] or ()):
            process.kill()
            return
    raise LookupError(f"no process of node {node} runs")


def kill_container(service: str, node: str) -> None:
    """SIGKILL to the node's container, known by its labels."""
    client = DockerClient.from_env()
    try:
        labels = [f"{label('service')}={service}", f"{label('node')}={node}"]
        [container] = client.containers.list(filters={"label": labels}, ignore_removed=True)
        container.kill()
    finally:
        client.close()
