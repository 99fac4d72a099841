"""What is written down when a rollout changes: its phases, and every verdict that counted.

The rollout itself keeps only its newest verdicts; those of each step stay in these events."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from controller.core.rollout import Rollout
from controller.core.verdict import Outcome, Verdict
from controller.core.waiting import next_action
from controller.engine.records import Event, Intent
from controller.engine.traffic import Traffic

_LATE: Final = datetime.timedelta(seconds=5)  # then no controller was there, or none that could


def command_event(
    intent: Intent, message: str, rollout: Rollout | None, now: datetime.datetime, refused: bool
) -> Event:
    """Who asked for what and when, and what came of it."""
    kind = "command.refused" if refused else f"command.{intent.command}"
    arguments = {name: value for name, value in intent.arguments.items() if name != "plan"}
    data = {
        "rollout": rollout.id if rollout is not None else None,
        "arguments": arguments,
        "asked_at": intent.at.isoformat(),
    }
    return Event(kind, intent.command, message + asked_before(intent, now), intent.actor, now, data)


def asked_before(intent: Intent, now: datetime.datetime) -> str:
    """When it was given, where that was long ago; else nothing. A rollback switches traffic when
    it is given, also without a controller, or with one that cannot write."""
    if now - intent.at < _LATE:
        return ""
    return f" (asked for at {intent.at:%Y-%m-%d %H:%M:%S} UTC)"


def is_news(before: Rollout | None, after: Rollout, told: tuple[Verdict, ...]) -> bool:
    """Whether the verdicts are to be written down: a gate says something else than before, or
    the phase changes on other numbers than those `told` last. So a live gate whose numbers move
    with every request does not fill the audit."""
    if not after.verdicts or after.verdicts == told:
        return False
    return _outcomes(told) != _outcomes(after.verdicts) or _phase_changed(before, after)


def rollout_events(
    before: Rollout | None,
    after: Rollout | None,
    told: tuple[Verdict, ...],
    traffic: Traffic,
    actor: str,
    now: datetime.datetime,
) -> list[Event]:
    """The events of one change: the verdicts that it rests on, then the phase, with what the
    canary has had of the traffic until then."""
    if after is None:
        return []
    events = []
    if is_news(before, after, told):
        events.append(_judged(before, after, told, now))
    if _phase_changed(before, after):
        events.append(_phase_event(before, after, traffic, actor, now))
    return events


def _phase_changed(before: Rollout | None, after: Rollout) -> bool:
    return before is None or before.id != after.id or before.phase is not after.phase


def _outcomes(verdicts: Sequence[Verdict]) -> dict[str, Outcome]:
    return {verdict.gate: verdict.verdict for verdict in verdicts}


def _judged(
    before: Rollout | None, rollout: Rollout, told: tuple[Verdict, ...], now: datetime.datetime
) -> Event:
    """They belong to the step whose share flowed, not to the one they lead to or that is prepared.
    `changed` are the gates that say something else than when they were told last."""
    known = _outcomes(told)
    changed = [v.gate for v in rollout.verdicts if known.get(v.gate) is not v.verdict]
    found = [verdict.verdict for verdict in rollout.verdicts]
    counts = ", ".join(f"{found.count(o)} {o}" for o in Outcome if o in found)
    measured_in = before if before is not None and before.id == rollout.id else rollout
    verdicts = [verdict_data(v) for v in rollout.verdicts]
    data = {
        **_context(measured_in),
        "step": _flowing_step(measured_in),
        "changed": changed,
        "verdicts": verdicts,
    }
    return Event("rollout.judged", rollout.id, f"gates: {counts}", "controller", now, data)


def _flowing_step(rollout: Rollout) -> int:
    reached = (step.percent <= rollout.reached_percent for step in rollout.plan.steps)
    return max(sum(reached) - 1, 0)


def _phase_event(
    before: Rollout | None, after: Rollout, traffic: Traffic, actor: str, now: datetime.datetime
) -> Event:
    same = before is not None and before.id == after.id
    data = {
        **_context(after),
        "was": before.phase.value if before is not None and same else None,
        "next_action": next_action(after),
        "traffic": _traffic(traffic) if same else None,
    }
    return Event("rollout.phase_changed", after.id, after.reason, actor, now, data)


def _traffic(traffic: Traffic) -> Mapping[str, Any] | None:
    """What was counted while `share` percent were asked for."""
    if not traffic.share:
        return None
    summary = traffic.summary()
    kept = ("requests", "opted_in", "keys", "canary_percent_actual", "baseline_percent_actual",
            "failed", "rescued")  # fmt: skip
    return {"share": traffic.share} | {name: summary[name] for name in kept}


def _context(rollout: Rollout) -> dict[str, Any]:
    return {
        "phase": rollout.phase.value,
        "version": rollout.version,
        "from_version": rollout.from_version,
        "plan": rollout.plan.name,
        "steps": [step.percent for step in rollout.plan.steps],
        "step": rollout.step,
        "percent": rollout.percent,
        "shadow": rollout.shadow,
        "shadows": [step.shadow for step in rollout.plan.steps],
        "consent": rollout.plan.consent,
    }


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """As JSON has it: what is not a finite number is null."""
    return {key: _plain(value) for key, value in asdict(verdict).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Outcome) else value
