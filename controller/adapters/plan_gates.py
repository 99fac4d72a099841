"""The gates of a plan, from YAML. rollouts/default.yaml has every key, with a comment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

from controller.adapters.yaml_file import Node, Section
from controller.core.errors import InvalidConfig
from controller.core.gate import Action, ErrorRateGate, Form, Measure
from controller.core.live.gate import OF_NODES, Kind, LiveGate
from controller.core.plan import Gate
from controller.core.review.gate import PreferenceGate
from controller.core.shadow.gate import Counting, DisagreementGate
from controller.core.shadow.strain import StrainGate


def plan_gates(root: Section) -> dict[str, tuple[Gate, ...]]:
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
        **_common(section, "disagreement"),
        "measure": section.choice("measure", get_args(Counting), "mer"),
        "form": section.choice("form", get_args(Form), "written"),
        "max_percent": section.number("max_percent", 5.0),
        "slices": section.get("slices", Node.strings, ()),
        "min_pairs": section.integer("min_pairs", 200, minimum=1),
        "min_keys": section.integer("min_keys", 10, minimum=1),
        "confidence": section.number("confidence", 95.0),
    }
    with located(section):
        return DisagreementGate(**gate)


def _strain(section: Section) -> StrainGate:
    gate: dict[str, Any] = {
        **_common(section, "stable-latency"),
        "max_slow_percent": section.number("max_slow_percent", 10.0),
        "min_keys": section.integer("min_keys", 10, minimum=1),
        "min_requests": section.integer("min_requests", 200, minimum=1),
    }
    with located(section):
        return StrainGate(**gate)


def _preference(section: Section) -> PreferenceGate:
    gate: dict[str, Any] = {
        **_common(section, "preference"),
        "margin_points": section.number("margin_points", 10.0),
        "min_votes": section.integer("min_votes", 50, minimum=1),
        "min_raters": section.integer("min_raters", 2, minimum=1),
        "min_agreement": section.number("min_agreement", None),
    }
    with located(section):
        return PreferenceGate(**gate)


def _live(section: Section, kind: Kind) -> LiveGate:
    gate: dict[str, Any] = {
        **_common(section, kind.value),
        "kind": kind,
    }
    if kind not in OF_NODES:
        gate["max_increase_points"] = section.number("max_increase_points", None)
        gate["min_keys"] = section.integer("min_keys", 10, minimum=2)
        gate["min_requests"] = section.integer("min_requests", 100, minimum=1)
    with located(section):
        return LiveGate(**gate)


def _error_rate(section: Section) -> ErrorRateGate:
    percent = section.number("max_increase_percent", None)
    gate: dict[str, Any] = {
        **_common(section, "error-rate"),
        "measure": section.choice("measure", get_args(Measure), "cer"),
        "form": section.choice("form", get_args(Form), "written"),
        "max_increase_points": section.number(
            "max_increase_points", 1.0 if percent is None else None
        ),
        "max_increase_percent": percent,
        "confidence": section.number("confidence", 95.0),
        "eval_sets": eval_sets(section),
        "slices": section.get("slices", Node.strings, ()),
    }
    with located(section):
        return ErrorRateGate(**gate)


def _common(section: Section, name: str) -> dict[str, Any]:
    """What every gate has; `name` where the plan gives it none."""
    return {
        "name": section.get("name", lambda node: node.name("gate"), name),
        "on_fail": section.choice("on_fail", get_args(Action), None),
        "on_inconclusive": section.choice("on_inconclusive", get_args(Action), None),
    }


def eval_sets(section: Section) -> tuple[str, ...]:
    def names(node: Node) -> tuple[str, ...]:
        return tuple(item.name("eval set") for item in node.items())

    return section.get("eval_sets", names, ())


@contextmanager
def located(section: Section) -> Iterator[None]:
    """Give the core's complaint (`key: message`) the file and line that the core cannot know."""
    try:
        yield
    except InvalidConfig as error:
        key, _, message = str(error).partition(": ")
        raise section.error(key, message) from error
