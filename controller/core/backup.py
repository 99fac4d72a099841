"""Whether the backup could take over this moment. Asked all the time, not at the accident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackupNode:
    """A node of the backup pool as it is. `digest` None: it did not tell yet; `reason` is why it
    is not ready, in words."""

    name: str
    version: str
    ready: bool
    digest: str | None = None
    reason: str = ""


def backup_problem(
    wanted: int,
    version: str,
    digest: str | None,
    nodes: Sequence[BackupNode],
    load: float | None = None,
    room: float | None = None,
) -> str | None:
    """Why the backup could not take over all of stable's traffic now, in words; None: it can.

    `wanted` is how many nodes fleet.yaml asks for, `version` what stable is, with its pinned
    `digest` (of the model's files and options; None while unknown); `nodes` those of the pool.
    `load` is stable's and `room` what the backup's ready nodes can do, both in seconds of audio
    per second; None: not known, which is held against nobody."""
    if wanted == 0:
        return "the fleet has no backup pool (pools.backup.nodes is 0)"
    other = next((node for node in nodes if node.ready and node.version != version), None)
    if other is not None:
        return f"{other.name} has {other.version}, and stable is {version}"
    if problem := _other_files(version, digest, nodes):
        return problem
    ready = sum(node.ready for node in nodes)
    if ready < wanted:
        return f"{ready} of {wanted} backup nodes ready{_why(nodes)}"
    if load is not None and room is not None and load > room:
        return f"the backup can carry {room:.1f} of stable's {load:.1f} audio seconds per second"
    return None


def _other_files(version: str, digest: str | None, nodes: Sequence[BackupNode]) -> str | None:
    for node in nodes:
        if node.version != version or digest is None or node.digest in {None, digest}:
            continue
        return (
            f"{node.name} has other model files or options than {version}: digest "
            f"{str(node.digest)[:12]} instead of {digest[:12]}"
        )
    return None


def _why(nodes: Sequence[BackupNode]) -> str:
    reasons = [f"{node.name}: {node.reason}" for node in nodes if not node.ready and node.reason]
    return f" ({'; '.join(reasons)})" if reasons else ""
