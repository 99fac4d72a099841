"""What a person sees of failover in the terminal. Pure text from the API's answer."""

from __future__ import annotations

from typing import Any


def failover(value: dict[str, Any] | None) -> list[str]:
    """Only what is not as it should be, and the load where it is known."""
    if value is None:  # a controller of before
        return []
    lines = []
    if value["help"] == "shares":
        lines.append(f"! the backup shares the traffic of stable: {value['reason']}")
    elif value["help"] == "none" and value["problem"]:
        lines.append(f"! the backup could not take over now: {value['problem']}")
    if value["load"] is not None and value["room"]:
        backup = f", the backup's {value['backup_room']:.1f}" if value["backup_room"] else ""
        lines.append(
            f"load: {value['load']:.1f} seconds of audio per second; stable's ready nodes can do "
            f"{value['room']:.1f}{backup}"
        )
    return lines
