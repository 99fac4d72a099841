"""The `spool` of fleet.yaml."""

from __future__ import annotations

from typing import Final

from controller.adapters.yaml_file import Node, Section
from controller.core.spool import SpoolLimits, SpoolWhen

_MEBIBYTE: Final = 1024 * 1024
_LONGEST_AGE_SECONDS: Final = 366 * 86400


def read_spool(section: Section) -> SpoolLimits:
    """Raises InvalidConfig."""
    default = SpoolLimits()
    return SpoolLimits(
        when=SpoolWhen(section.choice("when", [when.value for when in SpoolWhen], "asked")),
        max_bytes=section.integer("max_mib", default.max_bytes // _MEBIBYTE, 1, 1 << 24)
        * _MEBIBYTE,
        max_entries=section.integer("max_entries", default.max_entries, 1, 1_000_000),
        max_age_seconds=section.get("max_age", _age_seconds, default.max_age_seconds),
        max_answer_bytes=section.integer(
            "max_answer_mib", default.max_answer_bytes // _MEBIBYTE, 1, 1 << 24
        )
        * _MEBIBYTE,
        client_percent=section.integer("client_percent", default.client_percent, 1, 100),
    )


def _age_seconds(node: Node) -> float:
    seconds = node.duration_seconds()
    if not 60 <= seconds <= _LONGEST_AGE_SECONDS:
        raise node.error("must be from 1m to 366d")
    return seconds
