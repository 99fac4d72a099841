"""Plans from YAML. rollouts/default.yaml is the manual: it has every key, with a comment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from controller.adapters.yaml_file import Node, Section, read_yaml
from controller.core.cron import cron_trigger
from controller.core.errors import InvalidConfig, NotFound
from controller.core.gate import Action, ErrorRateGate, Form, Measure
from controller.core.live.gate import OF_NODES, Kind, LiveGate
from controller.core.names import check_name
from controller.core.plan import (
    Consent,
    Freeze,
    Gate,
    OnFail,
    OnInconclusive,
    Plan,
    Promote,
    Step,
)
from controller.core.preflight import LoadCheck
from controller.core.review.gate import PreferenceGate
from controller.core.shadow.gate import Counting, DisagreementGate
from controller.core.shadow.strain import StrainGate


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
    raise NotFound(f"no plan {name!r}; there is {known}. A file of your own: --plan ./{name}.yaml")


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
        "eval_sets": _eval_sets(root),
        "load_check": root.get("preflight", _preflight, None),
        "steps": tuple(_step(item.mapping()) for item in root.items("steps")),
        "freeze": tuple(_freeze(item.mapping()) for item in root.items("freeze")),
        **_gates(root),
    }
    root.done()
    with _located(root):
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
    with _located(section):
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
    with _located(section):
        return LoadCheck(**values)


def _freeze(section: Section) -> Freeze:
    cron = section.string("cron")
    seconds = section.duration_seconds("for")
    timezone = section.string("timezone", "UTC")
    with _located(section):
        cron_trigger(cron, timezone)
        return Freeze(cron, seconds, timezone)


def _gates(root: Section) -> dict[str, tuple[Gate, ...]]:
    """Those on eval sets, on live traffic, on copies and on people's votes stand in one list."""
    found = [_gate(item.mapping()) for item in root.items("gates")]
    return {
        "gates": tuple(gate for gate in found if isinstance(gate, ErrorRateGate)),
        "live_gates": tuple(gate for gate in found if isinstance(gate, LiveGate)),
        "shadow_gates": tuple(gate for gate in found if isinstance(gate, DisagreementGate)),
        "strain_gates": tuple(gate for gate in found if isinstance(gate, StrainGate)),
        "preference_gates": tuple(gate for gate in found if isinstance(gate, PreferenceGate)),
    }


def _gate(section: Section) -> Gate:
    kinds = (
        "error-rate",
        "disagreement",
        "stable-latency",
        "preference",
        *(kind.value for kind in Kind),
    )
    match section.choice("kind", kinds):
        case "error-rate":
            return _error_rate(section)
        case "disagreement":
            return _disagreement(section)
        case "stable-latency":
            return _strain(section)
        case "preference":
            return _preference(section)
        case kind:
            return _live(section, Kind(kind))


def _disagreement(section: Section) -> DisagreementGate:
    gate: dict[str, Any] = {
        "name": section.get("name", lambda node: node.name("gate"), "disagreement"),
        "measure": section.choice("measure", get_args(Counting), "mer"),
        "form": section.choice("form", get_args(Form), "written"),
        "max_percent": section.number("max_percent", 5.0),
        "slices": section.get("slices", Node.strings, ()),
        "min_pairs": section.integer("min_pairs", 200, minimum=1),
        "min_keys": section.integer("min_keys", 10, minimum=1),
        "confidence": section.number("confidence", 95.0),
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }
    with _located(section):
        return DisagreementGate(**gate)


def _strain(section: Section) -> StrainGate:
    gate: dict[str, Any] = {
        "name": section.get("name", lambda node: node.name("gate"), "stable-latency"),
        "max_slow_percent": section.number("max_slow_percent", 10.0),
        "min_keys": section.integer("min_keys", 10, minimum=1),
        "min_requests": section.integer("min_requests", 200, minimum=1),
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }
    with _located(section):
        return StrainGate(**gate)


def _preference(section: Section) -> PreferenceGate:
    gate: dict[str, Any] = {
        "name": section.get("name", lambda node: node.name("gate"), "preference"),
        "margin_points": section.number("margin_points", 10.0),
        "min_votes": section.integer("min_votes", 50, minimum=1),
        "min_raters": section.integer("min_raters", 2, minimum=1),
        "min_agreement": section.number("min_agreement", None),
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }
    with _located(section):
        return PreferenceGate(**gate)


def _live(section: Section, kind: Kind) -> LiveGate:
    gate: dict[str, Any] = {
        "name": section.get("name", lambda node: node.name("gate"), kind.value),
        "kind": kind,
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }
    if kind not in OF_NODES:
        gate["max_increase_points"] = section.number("max_increase_points", None)
        gate["min_keys"] = section.integer("min_keys", 10, minimum=2)
        gate["min_requests"] = section.integer("min_requests", 100, minimum=1)
    with _located(section):
        return LiveGate(**gate)


def _error_rate(section: Section) -> ErrorRateGate:
    kind = "error-rate"
    percent = section.number("max_increase_percent", None)
    gate: dict[str, Any] = {
        "name": section.get("name", lambda node: node.name("gate"), kind),
        "measure": section.choice("measure", get_args(Measure), "cer"),
        "form": section.choice("form", get_args(Form), "written"),
        "max_increase_points": section.number(
            "max_increase_points", 1.0 if percent is None else None
        ),
        "max_increase_percent": percent,
        "confidence": section.number("confidence", 95.0),
        "eval_sets": _eval_sets(section),
        "slices": section.get("slices", Node.strings, ()),
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }
    with _located(section):
        return ErrorRateGate(**gate)


def _eval_sets(section: Section) -> tuple[str, ...]:
    def names(node: Node) -> tuple[str, ...]:
        return tuple(item.name("eval set") for item in node.items())

    return section.get("eval_sets", names, ())


@contextmanager
def _located(section: Section) -> Iterator[None]:
    """Give the core's complaint (`key: message`) the file and line that the core cannot know."""
    try:
        yield
    except InvalidConfig as error:
        key, _, message = str(error).partition(": ")
        raise section.error(key, message) from error
