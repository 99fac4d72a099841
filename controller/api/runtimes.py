"""Which runtime: the two sets of adapters that belong together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings
from controller.adapters.fleet_file import FleetFile
from controller.adapters.nginx.docker_launcher import DockerLauncher
from controller.adapters.nginx.held_port import HeldPort
from controller.adapters.nginx.launcher import Launcher
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings
from controller.adapters.process_runtime import ProcessRuntime
from controller.adapters.state_folder import StateFolder
from controller.core.errors import Refused
from controller.engine.ports.runtime import Runtime
from controller.node_packages import missing_packages
from controller.settings import Settings

_STOP_GRACE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class RuntimeParts:
    """A runtime and the router that reaches its nodes."""

    runtime: Runtime
    router: NginxRouter
    launcher: Launcher

    async def tear_down(self) -> None:
        """Stop the router first, so that its last requests still find their nodes."""
        await self.router.stop()
        nodes = await self.runtime.observe()
        await asyncio.gather(*(self.runtime.stop(node.name, _STOP_GRACE_SECONDS) for node in nodes))
        await self.runtime.close()


def choose_runtime(settings: Settings, fleet: FleetFile, folder: StateFolder) -> RuntimeParts:
    """As the command line or fleet.yaml says. Raises Refused where it cannot be had here."""
    wanted = settings.runtime or fleet.runtime
    if wanted == "process":
        return process_parts(fleet, folder)
    docker = _docker_runtime(fleet, folder)
    missing = asyncio.run(docker.missing())
    if missing is None:
        return _docker_parts(fleet, folder, docker)
    if wanted == "docker":
        raise Refused(f"the docker runtime cannot be used: {missing}; nothing was started")
    return process_parts(fleet, folder)


def process_parts(fleet: FleetFile, folder: StateFolder) -> RuntimeParts:
    """Nodes and nginx as processes of this machine."""
    missing = missing_packages()
    if missing:
        raise Refused(
            f"the process runtime needs packages that are not installed: {', '.join(missing)}; "
            f"nothing was started. `pip install 'asr-rollout[node]'` installs them"
        )
    settings = _router_settings(fleet, folder)
    held = HeldPort(settings.host, settings.port)
    launcher = ProcessLauncher(folder.router_dir, held=held)
    router = NginxRouter(settings, launcher)
    runtime = ProcessRuntime(folder.path, fleet.api_keys, fleet.review.keep_audio)
    return RuntimeParts(runtime, router, launcher)


def _docker_runtime(fleet: FleetFile, folder: StateFolder) -> DockerRuntime:
    return DockerRuntime(_docker_settings(fleet, folder))


def _docker_settings(fleet: FleetFile, folder: StateFolder) -> DockerSettings:
    memory = fleet.limits.memory_mib
    return DockerSettings(
        fleet.config.service,
        folder.path,
        memory=f"{memory}m" if memory is not None else None,
        cpus=fleet.limits.cpus,
        api_keys=fleet.api_keys,
        keep_copies=fleet.review.keep_audio,
    )


def _docker_parts(fleet: FleetFile, folder: StateFolder, runtime: DockerRuntime) -> RuntimeParts:
    """Nodes and nginx as containers; nginx listens on all addresses of its own container."""
    host, port = fleet.router.host, fleet.router.port
    docker = _docker_settings(fleet, folder)
    settings = replace(_router_settings(fleet, folder), bind_host="0.0.0.0")  # noqa: S104
    launcher = DockerLauncher(docker, folder.router_dir, host, port)
    return RuntimeParts(runtime, NginxRouter(settings, launcher), launcher)


def _router_settings(fleet: FleetFile, folder: StateFolder) -> RouterSettings:
    return RouterSettings(
        run_dir=folder.router_dir,
        host=fleet.router.host,
        port=fleet.router.port,
        stream_drain_seconds=max(1, round(fleet.config.stream_drain_seconds)),
        max_body_bytes=fleet.router.max_body_bytes,
        jwt_key_file=fleet.router.jwt_key_file,
        trusted_proxies=fleet.router.trusted_proxies,
        spool_when=fleet.spool.when,
    )
