"""Why a fleet does not come up: what its nodes that are not ready say, and where they log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controller.adapters.docker.settings import DockerSettings
from controller.client import Client, Rejected, Unreachable


def not_ready(state_dir: Path) -> list[str]:
    """A line for each node that is not healthy; none where the controller does not tell."""
    try:
        status = Client(state_dir, environment={}).get("/api/status")
    except (Unreachable, Rejected):
        return []
    return not_ready_in(status, state_dir)


def not_ready_in(status: dict[str, Any], state_dir: Path) -> list[str]:
    """Of the answer of /api/status."""
    nodes = [node for pool in status["pools"].values() for node in pool["nodes"]]
    return [
        f"{node['name']} is {node['health']}: {node['reason']}; "
        f"its log: {_log(status, state_dir, node['name'])}"
        for node in nodes
        if node["health"] != "healthy"
    ]


def _log(status: dict[str, Any], state_dir: Path, name: str) -> str:
    if status["runtime"] == "docker":
        return f"docker logs {DockerSettings(status['service'], state_dir).container_name(name)}"
    return str(state_dir / "nodes" / name / "node.log")
