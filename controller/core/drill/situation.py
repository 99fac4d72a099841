"""Whether a drill may begin now: every reason why not, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.drill.catalogue import Drill, Fault, Hit
from controller.core.rollout import ENDED, Phase

_SERVING: Final = "healthy"


@dataclass(frozen=True, slots=True)
class Situation:
    """The fleet as `status` shows it. `stable` and `backup` are the nodes that are healthy, of
    the `…_wanted` that there should be; `problem` is what is wrong with the fleet already."""

    runtime: str
    stable: tuple[str, ...]
    stable_wanted: int
    backup: tuple[str, ...]
    backup_wanted: int
    settled: bool
    failed_over: bool = False
    helped: bool = False  # by the backup, as after a failure until stable was well for a while
    problem: str | None = None
    rollout: str | None = None
    backup_problem: str | None = None

    @property
    def whole(self) -> bool:
        """All nodes serve as they should: how a drill finds the fleet, and has to leave it."""
        return (
            self.settled
            and not self.failed_over
            and self.problem is None
            and len(self.stable) == self.stable_wanted
            and len(self.backup) == self.backup_wanted
        )


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What `status` does not know. `running` is a drill under way, `supervised` whether
    somebody starts a killed controller again, `closed` why this hour is none for drills."""

    running: str | None = None
    supervised: bool = False
    during_rollout: bool = False
    closed: str | None = None


def situation_of(status: Mapping[str, Any]) -> Situation:
    """As `GET /api/status` has it."""
    pools, router, rollout = status["pools"], status["router"], status["rollout"]
    under_way = rollout is not None and Phase(rollout["phase"]) not in ENDED
    return Situation(
        runtime=status["runtime"],
        stable=_healthy(pools["stable"]),
        stable_wanted=len(pools["stable"]["nodes"]),
        backup=_healthy(pools["backup"]),
        backup_wanted=len(pools["backup"]["nodes"]),
        settled=bool(router["running"] and router["settled"]),
        failed_over=bool(router["failed_over"]),
        helped=status["failover"]["help"] != "none",
        problem=status["alarm"],
        rollout=rollout["id"] if under_way else None,
        backup_problem=status["failover"]["problem"] if pools["backup"]["nodes"] else None,
    )


def _healthy(pool: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(node["name"] for node in pool["nodes"] if node["health"] == _SERVING)


def objections(drill: Drill, situation: Situation, circumstances: Circumstances) -> tuple[str, ...]:
    """Why it may not begin; nothing where it may."""
    found = [*_of_the_moment(situation, circumstances), *_of_the_fleet(situation)]
    found += _of_the_drill(drill, situation, circumstances)
    return tuple(found)


def _of_the_moment(situation: Situation, circumstances: Circumstances) -> list[str]:
    found = []
    if circumstances.running is not None:
        found.append(f"the drill {circumstances.running} is under way, and only one may be")
    if circumstances.closed is not None:
        found.append(circumstances.closed)
    if situation.rollout is not None and not circumstances.during_rollout:
        found.append(
            f"the rollout {situation.rollout} is under way (`during_rollout: true` allows it)"
        )
    return found


def _of_the_fleet(situation: Situation) -> list[str]:
    if situation.problem is not None:
        return [f"the fleet is not well: {situation.problem}"]
    if situation.failed_over or situation.helped:
        return ["the backup serves already, or helps stable on; `rollout status` tells how long"]
    found = []
    if len(situation.stable) < situation.stable_wanted:
        found.append(
            f"only {len(situation.stable)} of {situation.stable_wanted} stable nodes are healthy"
        )
    if situation.backup_problem is not None:
        found.append(f"the backup could not take over: {situation.backup_problem}")
    if not found and not situation.settled:
        found.append("the router has not taken over the newest changes yet; try again")
    return found


def _of_the_drill(drill: Drill, situation: Situation, circumstances: Circumstances) -> list[str]:
    found = []
    if drill.docker_only is not None and situation.runtime != "docker":
        found.append(f"{drill.name} works in the docker runtime only: {drill.docker_only}")
    if drill.fault is Fault.CONTROLLER and not circumstances.supervised:
        found.append(
            "nobody would start the killed controller again: it does not run under the "
            "supervisor of `rollout up --detach`"
        )
    if drill.hit is Hit.ONE and len(situation.stable) + len(situation.backup) < 2:
        found.append("there is no second healthy node to serve meanwhile")
    if drill.hit is Hit.STABLE and not situation.backup:
        found.append("there is no healthy backup node to serve meanwhile")
    return found


def victims(drill: Drill, situation: Situation) -> tuple[str, ...]:
    """The nodes that are to be hit, by name."""
    match drill.hit:
        case Hit.NONE:
            return ()
        case Hit.ONE:
            return situation.stable[:1]
        case Hit.STABLE:
            return situation.stable
        case Hit.ALL:
            return situation.stable + situation.backup
