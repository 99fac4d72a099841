"""Nodes and their containers as data: what is asked of the engine, and what it answers."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from docker.types import DeviceRequest, Mount

from controller.adapters.docker.settings import DockerSettings, container_user, hardening, label
from controller.adapters.model_files import is_local
from controller.adapters.node_arguments import copies_arguments, version_arguments
from controller.core.version import Version
from controller.engine.ports.runtime import NodeSpec, ObservedNode

_DATA: Final = Path("/data")  # of a node, in its container
PORT: Final = 8000
ROLE: Final = "node"
_RUNNING: Final = frozenset({"running", "paused", "restarting"})
_PASSED_ON: Final = ("HF_ENDPOINT", "HTTPS_PROXY", "NO_PROXY")  # to reach a model hub


def data_folder(settings: DockerSettings, name: str) -> Path:
    """Outlives the node."""
    return settings.state_dir.absolute() / "nodes" / name


def hub_folder(settings: DockerSettings) -> Path:
    """Downloaded models, shared by all nodes."""
    return settings.state_dir.absolute() / "hub"


def uses_hub(version: Version) -> bool:
    return not all(is_local(source) for source in version.models.values())


def node_container(spec: NodeSpec, settings: DockerSettings) -> dict[str, Any]:
    """The arguments of the engine's create call."""
    return hardening(container_user()) | {
        "name": settings.container_name(spec.name),
        "image": spec.version.image or settings.image,
        "command": node_command(spec)
        + settings.api_keys.arguments(_DATA)
        + copies_arguments(settings.keep_copies),
        "environment": _environment(spec.version),
        "labels": settings.labels(ROLE)
        | {
            label("node"): spec.name,
            label("version"): spec.version.name,
            label("device"): spec.device,
        },
        "network": settings.network,
        "mounts": _mounts(spec, settings),
        "device_requests": _device_requests(spec.device),
        "mem_limit": settings.memory,
        "memswap_limit": settings.memory,  # equal: no swap, which would only make it slow
        "nano_cpus": round(settings.cpus * 1e9) if settings.cpus else None,
        "init": True,
        "restart_policy": {"Name": "no"},  # the controller decides
        "detach": True,
    }


def node_command(spec: NodeSpec) -> list[str]:
    """The arguments of `asr-node`, which is the image's entry point."""
    command = ["--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 (the container's own)
    command += ["--name", spec.name, "--device", _device_inside(spec.device)]
    command += ["--data-dir", str(_DATA)]
    return command + version_arguments(_as_mounted(spec.version), _DATA)


def observed_node(attributes: Mapping[str, Any], settings: DockerSettings) -> ObservedNode:
    """Of the engine's inspect answer. `started_at` is that of the creation until it started."""
    state, labels = attributes["State"], attributes["Config"]["Labels"]
    running = state["Status"] in _RUNNING
    never_started = state["StartedAt"].startswith("0001-")
    started = attributes["Created"] if never_started else state["StartedAt"]
    networks = attributes["NetworkSettings"]["Networks"]
    ip = networks.get(settings.network, {}).get("IPAddress")
    return ObservedNode(
        name=labels[label("node")],
        version=labels[label("version")],
        instance=attributes["Id"],
        running=running,
        address=f"{ip}:{PORT}" if ip else None,
        started_at=datetime.datetime.fromisoformat(started),
        exit_status=None if running or never_started else state["ExitCode"],
        device=labels[label("device")],
        paused=state["Status"] == "paused",
    )


def _as_mounted(version: Version) -> Version:
    """With the folders as the container sees them."""
    inside = {role: f"/models/{role}" for role, path in version.models.items() if is_local(path)}
    return dataclasses.replace(
        version,
        model=inside.get("model", version.model),
        vad_model=inside.get("vad", version.vad_model),
        punc_model=inside.get("punc", version.punc_model),
    )


def _mounts(spec: NodeSpec, settings: DockerSettings) -> list[Mount]:
    mounts = [
        Mount(f"/models/{role}", source, type="bind", read_only=True)
        for role, source in spec.version.models.items()
        if is_local(source)
    ]
    mounts.append(Mount(str(_DATA), str(data_folder(settings, spec.name)), type="bind"))
    if uses_hub(spec.version):
        mounts.append(Mount("/hub", str(hub_folder(settings)), type="bind"))
    return mounts


def _environment(version: Version) -> dict[str, str]:
    if not uses_hub(version):
        return {}
    return {key: os.environ[key] for key in _PASSED_ON if key in os.environ}


def _device_requests(device: str) -> list[DeviceRequest]:
    """The GPU named and no other; `auto` asks for none, as an engine cannot be asked whether it
    has one."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return []
    chosen = {"device_ids": [index]} if index else {"count": -1}
    return [DeviceRequest(capabilities=[["gpu"]], **chosen)]


def _device_inside(device: str) -> str:
    """The one GPU that a container is given is its first."""
    return "cuda:0" if device.startswith("cuda:") else device
