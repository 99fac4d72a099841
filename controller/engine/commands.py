"""What an accepted command does to the state. Pure: it refuses, or answers with the new state."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from controller.core import steering
from controller.core.cron import cron_trigger, frozen_until
from controller.core.errors import InvalidConfig, NotFound, Refused
from controller.core.fleet import Fleet, FleetConfig
from controller.core.plan import Plan
from controller.core.rollout import Phase, Rollout, begin
from controller.engine.audit import asked_before
from controller.engine.records import Intent

_PLAN: Final = TypeAdapter(Plan)


@dataclass(frozen=True, slots=True)
class State:
    """The part of the state that commands change. `rollout` is the newest; `earlier` is the one
    before it that made the version stable which is, where there is one."""

    config: FleetConfig
    fleet: Fleet
    rollout: Rollout | None
    versions: frozenset[str]
    earlier: Rollout | None = None

    @property
    def active(self) -> Rollout | None:
        return self.rollout if self.rollout is not None and not self.rollout.ended else None


def carry_out(intent: Intent, state: State, now: datetime.datetime) -> tuple[State, str]:
    """The state after the command, and what to tell who gave it. Raises Refused."""
    if intent.command == "start":
        return _start(intent, state, now)
    if intent.command == "rollback":
        return _roll_back(intent, state, now)
    return _steer(intent, state, now)


def _start(intent: Intent, state: State, now: datetime.datetime) -> tuple[State, str]:
    version, plan = _version_and_plan(intent)
    forced = bool(intent.arguments.get("force"))
    check_start(state, version, forced)
    _refuse_while_frozen(plan, intent, now)
    warm = state.fleet.retired not in {None, version}
    retired_nodes = state.config.stable_nodes if warm else 0
    baseline_nodes = max(
        state.config.baseline_nodes_for(plan.baseline_percent(step.percent)) for step in plan.steps
    )
    state.config.check_capacity(plan.rollback_window_seconds, retired_nodes, baseline_nodes)
    rollout_id = f"{version}-{now:%Y%m%d-%H%M%S}-{intent.id}"
    begun = begin(rollout_id, version, state.fleet.stable, plan, intent.actor, now, forced)
    first = plan.steps[0]
    share = f"{first.percent:g} % of the traffic" if first.percent else plan.share(first)
    return (
        replace(state, rollout=begun),
        f"rollout {rollout_id} of {version} started: its nodes are being prepared, then it gets "
        f"{share}. Follow it with `rollout status`",
    )


def _version_and_plan(intent: Intent) -> tuple[str, Plan]:
    """Raises Refused: an intent may be of an earlier version of this program, whose plans could
    be what this one's cannot."""
    try:
        version, plan = str(intent.arguments["version"]), intent.arguments["plan"]
        checked = _PLAN.validate_python(plan)
    except (KeyError, ValidationError) as error:
        raise InvalidConfig(
            f"the plan of this start is not valid here ({error}); nothing was started. Give the "
            f"command again"
        ) from error
    for freeze in checked.freeze:
        cron_trigger(freeze.cron, freeze.timezone)
    return version, checked


def _refuse_while_frozen(plan: Plan, intent: Intent, now: datetime.datetime) -> None:
    until = frozen_until(plan.freeze, now)
    if until is not None and not intent.arguments.get("force"):
        raise Refused(
            f"plan {plan.name} freezes changes until {until:%Y-%m-%d %H:%M %Z}: nothing was "
            f"changed. `--force` does it all the same; going back is always possible"
        )


def check_start(state: State, version: str, force: bool) -> None:
    """Raise Refused where a rollout of `version` cannot begin now, whatever its plan."""
    if version not in state.versions:
        known = ", ".join(sorted(state.versions))
        raise NotFound(f"there is no version {version!r}; known are {known}. Nothing was started")
    if state.active is not None:
        raise Refused(
            f"rollout {state.active.id} of {state.active.version} is under way, started by "
            f"{state.active.actor}; nothing was changed. `rollout abort` ends it"
        )
    if version == state.fleet.stable:
        raise Refused(f"{version} is stable already: there is nothing to roll out")
    if version in state.fleet.bad and not force:
        raise Refused(
            f"{version} is marked bad: it was rolled back before. Nothing was started; "
            f"`rollout start {version} --force` tries it again"
        )


def _roll_back(intent: Intent, state: State, now: datetime.datetime) -> tuple[State, str]:
    to = intent.arguments.get("to")
    if to is not None and to not in state.versions:
        raise NotFound(f"there is no version {to!r}; nothing was changed")
    fleet, active = state.fleet, state.active
    who = intent.actor + asked_before(intent, now)
    if active is not None and to in {None, fleet.stable}:
        return (
            replace(state, rollout=steering.roll_back(active, who, now)),
            f"rolled back: all traffic is on {fleet.stable} again; {active.version} is stopped "
            f"when its last request has ended",
        )
    until = now + _window(state)
    fleet = fleet.rolled_back(to, until, bool(intent.arguments.get("force")))
    return (
        replace(_taken_back(state, who, now), fleet=fleet),
        f"rolled back: {fleet.stable} is stable again, as soon as its nodes are ready (at once "
        f"where they are still warm); {state.fleet.stable} is marked bad",
    )


def _taken_back(state: State, who: str, now: datetime.datetime) -> State:
    """Rolled back: the rollout under way, and the one that made the version stable."""
    newest, earlier = state.rollout, state.earlier
    if newest is not None and (not newest.ended or _made_stable(newest, state.fleet)):
        newest = steering.roll_back(newest, who, now)
    if earlier is not None:
        earlier = steering.roll_back(earlier, who, now)
    return replace(state, rollout=newest, earlier=earlier)


def _made_stable(rollout: Rollout, fleet: Fleet) -> bool:
    return rollout.phase is Phase.PROMOTED and rollout.version == fleet.stable


def _window(state: State) -> datetime.timedelta:
    seconds = state.rollout.plan.rollback_window_seconds if state.rollout else 0.0
    return datetime.timedelta(seconds=seconds)


def _steer(intent: Intent, state: State, now: datetime.datetime) -> tuple[State, str]:
    active = state.active
    if active is None:
        raise Refused(
            f"no rollout is under way: nothing to {intent.command}. `rollout start VERSION` "
            f"begins one"
        )
    if intent.command == "promote":
        _refuse_while_frozen(active.plan, intent, now)
    after = _steered(intent.command, active, intent.actor, intent.arguments, now)
    return replace(state, rollout=after), f"rollout {after.id} is {after.phase}: {after.reason}"


def _steered(
    command: str,
    active: Rollout,
    actor: str,
    arguments: Mapping[str, Any],
    now: datetime.datetime,
) -> Rollout:
    match command:
        case "promote":
            full, forced = bool(arguments.get("full")), bool(arguments.get("force"))
            return steering.promote(active, actor, full, now, forced)
        case "pause":
            return steering.pause(active, actor, now)
        case "resume":
            return steering.resume(active, actor, now)
        case "retry":
            return steering.retry(active, actor, now)
        case "abort":
            return steering.abort(active, actor, now)
        case _:
            raise Refused(f"unknown command {command!r}")


def settle(
    before: Rollout | None, after: Rollout | None, fleet: Fleet, now: datetime.datetime
) -> Fleet:
    """What the end of a rollout means for the fleet."""
    fleet = fleet.expired(now)
    if after is None or before is None or before.phase is after.phase:
        return fleet
    match after.phase:
        case Phase.PROMOTED:
            window = datetime.timedelta(seconds=after.plan.rollback_window_seconds)
            return fleet.promoted(after.version, now + window)
        case Phase.ROLLED_BACK:
            return replace(fleet, bad=fleet.bad | {after.version})
        case _:
            return fleet
