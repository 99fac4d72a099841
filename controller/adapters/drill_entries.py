"""The `drills` of fleet.yaml: which, when, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from controller.adapters.yaml_file import Node, Section
from controller.core.drill.catalogue import DRILLS, NO_DRILLS
from controller.core.drill.options import MOST_CLIENTS, DrillOptions, ScheduledDrill, Window
from controller.core.errors import Refused

_LONGEST_SECONDS: Final = 3600.0


def read_drills(node: Node) -> tuple[ScheduledDrill, ...]:
    """Raises InvalidConfig with file and line."""
    return tuple(_entry(item) for item in node.items())


def _entry(node: Node) -> ScheduledDrill:
    section = node.mapping()
    drill = section.get("drill", _drill)
    cron, timezone = section.string("cron"), section.string("timezone", "UTC")
    hours, options = section.get("window", Node.string, None), _options(section)
    try:
        entry = ScheduledDrill(drill, cron, timezone, options=options)
        window = Window(hours, timezone) if hours is not None else None
    except Refused as error:
        raise node.error(str(error)) from error
    return replace(entry, window=window)


def _drill(node: Node) -> str:
    if (why := NO_DRILLS.get(node.string())) is not None:
        raise node.error(f"{node.string()} is no drill: {why}")
    return node.choice(list(DRILLS))


def _options(section: Section) -> DrillOptions:
    return DrillOptions(
        eval_set=section.get("eval_set", lambda n: n.name("eval set"), None),
        clients=section.integer("clients", 6, 1, MOST_CLIENTS),
        steady_seconds=section.get("steady", _seconds, 10.0),
        calm_seconds=section.get("calm", _seconds, 5.0),
        during_rollout=section.boolean("during_rollout", False),
        detect_within_seconds=section.get("detect_within", _seconds, None),
        switch_within_seconds=section.get("switch_within", _seconds, None),
        recover_within_seconds=section.get("recover_within", _seconds, None),
    )


def _seconds(node: Node) -> float:
    seconds = node.duration_seconds()
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise node.error("must be longer than nothing and at most 1h")
    return seconds
