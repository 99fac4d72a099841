"""Plans from YAML. rollouts/default.yaml is the manual: it has every key, with a comment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from controller.adapters.plan_gates import eval_sets, located, plan_gates
from controller.adapters.yaml_file import Node, Section, read_yaml
from controller.core.cron import cron_trigger
from controller.core.errors import NotFound
from controller.core.names import check_name
from controller.core.plan import (
    Consent,
    Freeze,
    OnFail,
    OnInconclusive,
    Plan,
    Promote,
    Step,
)
from controller.core.preflight import LoadCheck


def load_plan(name_or_path: str, plans_dirs: Sequence[Path]) -> Plan:
    """A plan by name (`NAME.yaml` in the first of the folders that has it) or by path, which
    has a slash or ends in .yaml. It is named after its file.

    Raises NotFound, InvalidName, and InvalidConfig with `file:line: path.of.key`."""
    return _plan(_file(name_or_path, plans_dirs))


def known_plans(plans_dirs: Sequence[Path]) -> tuple[str, ...]:
    """The names that `load_plan` finds, sorted."""
    return tuple(sorted({path.stem for folder in plans_dirs for path in folder.glob("*.yaml")}))


def _file(name_or_path: str, plans_dirs: Sequence[Path]) -> Path:
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    name = check_name(name_or_path, "plan")
    for folder in plans_dirs:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = ", ".join(known_plans(plans_dirs)) or "none"
    raise NotFound(f"no plan {name!r}; there is {known}. A file of your own: ./{name}.yaml")


def _plan(path: Path) -> Plan:
    root = read_yaml(path).mapping()
    plan: dict[str, Any] = {
        "name": check_name(path.stem, "plan"),
        "promote": root.choice("promote", get_args(Promote), "manual"),
        "on_fail": root.choice("on_fail", get_args(OnFail), "rollback"),
        "on_inconclusive": root.choice("on_inconclusive", get_args(OnInconclusive), "hold"),
        "consent": root.choice("consent", get_args(Consent), "none"),
        "baseline": root.boolean("baseline", False),
        "start_deadline_seconds": root.duration_seconds("start_deadline", 300.0),
        "rollback_window_seconds": root.duration_seconds("rollback_window", 3600.0),
        "eval_sets": eval_sets(root),
        "load_check": root.get("preflight", _preflight, None),
        "steps": tuple(_step(item.mapping()) for item in root.items("steps")),
        "freeze": tuple(_freeze(item.mapping()) for item in root.items("freeze")),
        **plan_gates(root),
    }
    root.done()
    with located(root):
        return Plan(**plan)


def _step(section: Section) -> Step:
    percent = section.number("percent")
    values: dict[str, Any] = {
        "shadow": section.number("shadow", 0.0),
        "hold_seconds": section.duration_seconds("hold", 0.0),
        "min_requests": section.integer("min_requests", 0, minimum=0),
        "pause": section.boolean("pause", False),
        "deadline_seconds": section.duration_seconds("deadline", None),
    }
    with located(section):
        return Step(percent, **values)


def _preflight(node: Node) -> LoadCheck | None:
    return node.mapping().get("load", lambda child: _load_check(child.mapping()), None)


def _load_check(section: Section) -> LoadCheck:
    values: dict[str, Any] = {
        "eval_set": section.get("eval_set", lambda node: node.name("eval set")),
        "clips": section.integer("clips", 32, minimum=1),
        "concurrency": section.integer("concurrency", 4, minimum=1),
        "max_slowdown": section.number("max_slowdown", 1.5),
    }
    with located(section):
        return LoadCheck(**values)


def _freeze(section: Section) -> Freeze:
    cron = section.string("cron")
    seconds = section.duration_seconds("for")
    timezone = section.string("timezone", "UTC")
    with located(section):
        cron_trigger(cron, timezone)
        return Freeze(cron, seconds, timezone)
