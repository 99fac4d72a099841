"""How much memory a node holds, and how much it could still have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

HOST: Final = "cpu"
# cgroup v2 and v1, as a container sees its own; without a limit: "max", or a number of exabytes.
_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of one device's memory (`cpu`: the machine's, or what its container may use):
    held by this node, free for whoever takes them, and all."""

    device: str
    held_bytes: int
    free_bytes: int
    total_bytes: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def host_memory(pids: Iterable[int]) -> DeviceMemory:
    """Of the processes, with what they share counted for each. Reads /proc: well under a
    millisecond."""
    held = sum(resident_bytes(pid) for pid in pids)
    machine = psutil.virtual_memory()
    total = min([machine.total, *_container_limits()])
    free = max(0, min(machine.available, total - held))
    return DeviceMemory(HOST, held, free, total)


def resident_bytes(pid: int) -> int:
    """0 where the process has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def together(memories: Iterable[DeviceMemory]) -> tuple[DeviceMemory, ...]:
    """One for each device: what several processes hold of it is added up."""
    found: dict[str, DeviceMemory] = {}
    for one in memories:
        known = found.get(one.device)
        held = one.held_bytes + (known.held_bytes if known is not None else 0)
        found[one.device] = DeviceMemory(one.device, held, one.free_bytes, one.total_bytes)
    return tuple(found.values())


def _container_limits() -> list[int]:
    limits = []
    for file in _LIMITS:
        try:
            limits.append(int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):  # there is no such file, or no limit
            continue
    return limits
