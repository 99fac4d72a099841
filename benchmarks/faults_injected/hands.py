"""What a fault does to a fleet, behind the controller's back: by signals to processes of this
machine (a container's are among them) and by packets dropped in a node's network namespace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
from docker.client import DockerClient

from benchmarks.fleet import FleetFailed
from controller.adapters.docker.settings import label

_WORKER: Final = "asr_node.worker.main"
_DISK_MIB: Final = 32


class AnyFleet(Protocol):
    """What has to be known of a fleet to hurt it."""

    @property
    def runtime(self) -> str: ...
    @property
    def state_dir(self) -> Path: ...
    @property
    def service(self) -> str: ...


class Hands(ABC):
    """On one fleet. Raises FleetFailed where what is to be hurt does not run."""

    def __init__(self, fleet: AnyFleet) -> None:
        self.fleet = fleet

    @abstractmethod
    def node(self, name: str) -> psutil.Process:
        """The process whose end is the node's."""

    @abstractmethod
    def router(self) -> psutil.Process:
        """nginx's master."""

    @abstractmethod
    def freeze(self, name: str) -> None: ...

    @abstractmethod
    def thaw(self, name: str) -> None:
        """Nothing where it has ended meanwhile."""

    def kill(self, *names: str) -> None:
        """SIGKILL to all of them in the same moment."""
        end(self.nodes(*names))

    def nodes(self, *names: str) -> list[psutil.Process]:
        return [self.node(name) for name in names]

    def kill_worker(self, name: str) -> None:
        """SIGKILL to the process that holds the model, as the kernel does that is out of memory."""
        root = self.node(name)
        found = [p for p in root.children(recursive=True) if _WORKER in p.cmdline()]
        if not found:
            raise FleetFailed(f"node {name} has no worker that could be killed")
        for worker in found:
            worker.kill()

    def kill_router(self) -> None:
        end(self.router_family())

    def router_family(self) -> list[psutil.Process]:
        """The master first: it would start workers anew."""
        master = self.router()
        return [master, *master.children(recursive=True)]

    def reload_router(self) -> None:
        self.router().send_signal(signal.SIGHUP)

    def kill_controller(self) -> None:
        """Its supervisor lives, and starts it again."""
        state_dir = str(self.fleet.state_dir)
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "controller.cli" in command and "up" in command and state_dir in command:
                process.kill()
                return
        raise FleetFailed("no controller runs that could be killed")

    def hobble(self, name: str, seconds: float, share: float = 0.8) -> None:
        """Let the node run only `1 - share` of the time: slow, but never silent for long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(FleetFailed, psutil.NoSuchProcess):
                try:
                    self._family(name, signal.SIGSTOP)
                    time.sleep(0.5 * share)
                finally:  # also where somebody ends us just then
                    self._family(name, signal.SIGCONT)
            time.sleep(0.5 * (1 - share))

    def cut(self, name: str) -> None:
        """Drop every packet from and to the node: no reset, no word."""
        inside = ["nsenter", "--target", str(self.node(name).pid), "--net", "iptables", "--wait"]
        for chain in ("INPUT", "OUTPUT"):
            subprocess.run([*inside, "-A", chain, "-j", "DROP"], check=True, capture_output=True)

    @contextlib.contextmanager
    def full_disk(self, name: str) -> Iterator[None]:
        """While the block runs there is no room for anything more, not for one page."""
        filler = self.data_folder(name) / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
        try:
            yield
        finally:
            filler.unlink(missing_ok=True)

    def damage_history(self, name: str) -> None:
        """Noise over every page, as a failing disk leaves it; also over the journal, which of a
        young history holds every page: noise over the file alone would hurt nobody."""
        for path in self.data_folder(name).glob("history.sqlite3*"):
            with path.open("r+b") as file:
                file.write(os.urandom(max(4096, path.stat().st_size)))

    def data_folder(self, name: str) -> Path:
        return self.fleet.state_dir / "nodes" / name

    def admin_token(self, name: str) -> str:
        """Of the node's own commands."""
        return (self.data_folder(name) / "admin.token").read_text().strip()

    def _family(self, name: str, number: int) -> None:
        root = self.node(name)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class ProcessHands(Hands):
    def node(self, name: str) -> psutil.Process:
        data_dir = str(self.data_folder(name))
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "asr_node" in command and data_dir in command:
                return process
        raise FleetFailed(f"no process of node {name} runs")

    def router(self) -> psutil.Process:
        try:
            pid = int((self.fleet.state_dir / "router" / "nginx.pid").read_text())
            return psutil.Process(pid)
        except (OSError, ValueError, psutil.NoSuchProcess) as error:
            raise FleetFailed(f"no nginx runs: {error}") from error

    def freeze(self, name: str) -> None:
        self._family(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        with contextlib.suppress(FleetFailed):
            self._family(name, signal.SIGCONT)


class DockerHands(Hands):
    """The engine runs on this machine, so its containers' processes are seen from here. They are
    killed as a crash kills them: after `docker kill` the engine would not restart the router."""

    def node(self, name: str) -> psutil.Process:
        return _process(self._container(f"{label('node')}={name}"), name)

    def router(self) -> psutil.Process:
        for child in self.router_keeper().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "master process" in " ".join(child.cmdline()):
                    return child
        raise FleetFailed("no nginx runs in the router's container")

    def router_keeper(self) -> psutil.Process:
        """PID 1 of the router's container, whose end is the container's."""
        return _process(self._container(f"{label('role')}=router"), "router")

    def freeze(self, name: str) -> None:
        self._container(f"{label('node')}={name}").pause()

    def thaw(self, name: str) -> None:
        with contextlib.suppress(FleetFailed):
            container = self._container(f"{label('node')}={name}")
            if container.status == "paused":
                container.unpause()

    def _container(self, wanted: str) -> Any:
        labels = [f"{label('service')}={self.fleet.service}", wanted]
        with _engine() as client:
            found = client.containers.list(filters={"label": labels}, ignore_removed=True)
        if not found:
            raise FleetFailed(f"no container {wanted} runs")
        return found[0]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for a node's data folder, before the node is there. Needs root."""
    folder.mkdir(parents=True, mode=0o700)
    size = f"size={_DISK_MIB}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def end(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, without a look for them: that takes a while on a busy machine."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def is_dead(process: psutil.Process) -> bool:
    """Also where nobody has taken notice of its end yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def hands_of(fleet: AnyFleet) -> Hands:
    return DockerHands(fleet) if fleet.runtime == "docker" else ProcessHands(fleet)


def _process(container: Any, name: str) -> psutil.Process:
    container.reload()
    try:
        return psutil.Process(int(container.attrs["State"]["Pid"]))
    except psutil.NoSuchProcess as error:
        raise FleetFailed(f"the container of {name} has ended") from error


@contextlib.contextmanager
def _engine() -> Iterator[DockerClient]:
    client = DockerClient.from_env()
    try:
        yield client
    finally:
        client.close()
