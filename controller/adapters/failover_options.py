"""The keys `failover` and `batches` of fleet.yaml: what the backup does when, and for whom."""

from __future__ import annotations

from typing import Final

from controller.adapters.yaml_file import Node, Section
from controller.core.failover import FailoverRules

_BATCHES: Final = ("stable", "backup")


def read_failover(root: Section) -> FailoverRules:
    """Raises InvalidConfig."""
    section, usual = root.section("failover"), FailoverRules()
    held = section.section("held_out")
    return FailoverRules(
        failback_after_seconds=section.duration_seconds(
            "failback_after", usual.failback_after_seconds
        ),
        full_percent=section.number("full_percent", usual.full_percent, 1, 1000),
        node_seconds_per_second=section.number("node_audio_seconds_per_second", None, 0.001, 1e6),
        falls=held.integer("falls", usual.falls, 2, 100),
        within_seconds=held.get("within", Node.some_seconds, usual.within_seconds),
        hold_seconds=held.get("first", Node.some_seconds, usual.hold_seconds),
        longest_hold_seconds=held.get("longest", Node.some_seconds, usual.longest_hold_seconds),
    )


def read_batches(root: Section, backup_nodes: int) -> bool:
    """Whether batches go to the backup. Raises InvalidConfig, also where there is none."""
    to_backup = root.choice("batches", _BATCHES, "stable") == "backup"
    if to_backup and backup_nodes == 0:
        raise root.error("batches", "there is no backup pool: pools.backup.nodes is 0")
    return to_backup
