"""The drills that there are: what each breaks, what must stay true, and within which time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.errors import NotFound, Refused


class Fault(StrEnum):
    """What is done."""

    KILL = "kill"  # SIGKILL, or `docker kill`
    FREEZE = "freeze"  # SIGSTOP, or `docker pause`
    CUT = "cut"  # from the network: packets vanish, and nobody is told
    SLOW = "slow"  # frozen for most of each second
    WORKERS = "workers"  # the processes that hold the model, and not the node itself
    FULL_DISK = "full-disk"  # whatever the node writes fails
    ROUTER = "router"  # nginx, master and workers
    RELOADS = "reloads"  # of nginx, again and again
    CONTROLLER = "controller"


class Hit(StrEnum):
    """Whom it hits."""

    ONE = "one stable node"
    STABLE = "all stable nodes"
    ALL = "all stable and backup nodes"
    NONE = "no node"


class Tolerance(StrEnum):
    """Which requests may go without a transcript."""

    NONE = "none"
    IN_FLIGHT = "in flight"  # under way at the fault, or sent within the bound of the switch
    REFUSED = "refused"  # those with a clean 503, or accepted for later (202)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds from the fault: until it is known, until requests that are sent after it are
    answered, and until all is as it was. None: nobody has to notice."""

    detect: float | None
    switch: float
    recover: float


@dataclass(frozen=True, slots=True)
class Drill:
    """`does` and `promise` are sentences for people."""

    name: str
    fault: Fault
    hit: Hit
    does: str
    promise: str
    bounds: Bounds
    tolerance: Tolerance = Tolerance.NONE
    docker_only: str | None = None  # why

    @property
    def lasts_seconds(self) -> float:
        """How long the fault itself goes on, where it is not over at once."""
        return _LASTING.get(self.fault, 0.0)

    @property
    def is_noticed(self) -> bool:
        """Whether the controller's status has to show it before it can show its end."""
        return self.fault in {
            Fault.KILL,
            Fault.FREEZE,
            Fault.CUT,
            Fault.ROUTER,
            Fault.CONTROLLER,
        }


NOBODY: Final = "No request fails: who was being served is served elsewhere."
_LASTING: Final = {Fault.SLOW: 20.0, Fault.RELOADS: 40.0, Fault.FULL_DISK: 20.0}
_RECOVER_SECONDS: Final = 300.0  # a large model takes minutes to load

_ALL: Final = (
    Drill(
        "kill-stable",
        Fault.KILL,
        Hit.ONE,
        "Kills one stable node (SIGKILL).",
        NOBODY,
        Bounds(3.5, 5.0, _RECOVER_SECONDS),
    ),
    Drill(
        "freeze-stable",
        Fault.FREEZE,
        Hit.ONE,
        "Freezes one stable node (SIGSTOP, docker pause): it answers nothing and closes nothing.",
        NOBODY,
        Bounds(5.0, 10.0, _RECOVER_SECONDS),
    ),
    Drill(
        "network-cut",
        Fault.CUT,
        Hit.ONE,
        "Cuts one stable node off from the network: its packets vanish, and nothing is closed.",
        NOBODY,
        Bounds(15.0, 15.0, _RECOVER_SECONDS),
        docker_only="nodes that are processes have no network of their own to be cut off from",
    ),
    Drill(
        "slow-stable",
        Fault.SLOW,
        Hit.ONE,
        "Freezes one stable node for 0.7 s of each second, for 20 s.",
        "No request fails; answers may be late.",
        Bounds(None, 10.0, _RECOVER_SECONDS),
    ),
    Drill(
        "out-of-memory",
        Fault.WORKERS,
        Hit.ONE,
        "Kills the processes of one stable node that hold the model, as the kernel does when "
        "memory is out; the node itself lives.",
        "No request fails: the node starts them anew, and others serve meanwhile.",
        Bounds(None, 10.0, _RECOVER_SECONDS),
    ),
    Drill(
        "disk-full",
        Fault.FULL_DISK,
        Hit.ONE,
        "Lets whatever one stable node writes to files fail for 20 s, as on a full disk.",
        "No request fails; the node writes again afterwards.",
        Bounds(None, 10.0, _RECOVER_SECONDS),
    ),
    Drill(
        "all-stable",
        Fault.KILL,
        Hit.STABLE,
        "Kills all stable nodes at once.",
        "No request fails: the backup serves until stable is back.",
        Bounds(3.5, 5.0, _RECOVER_SECONDS),
    ),
    Drill(
        "everything",
        Fault.KILL,
        Hit.ALL,
        "Kills all stable and all backup nodes at once.",
        "Every request is answered, accepted for later (202) or refused with 503; none hangs.",
        Bounds(3.5, _RECOVER_SECONDS, _RECOVER_SECONDS),
        Tolerance.REFUSED,
    ),
    Drill(
        "kill-router",
        Fault.ROUTER,
        Hit.NONE,
        "Kills nginx, its master and its workers.",
        "Only requests in flight at the kill fail, and new ones until nginx is back.",
        Bounds(3.5, 2.0, 30.0),
        Tolerance.IN_FLIGHT,
    ),
    Drill(
        "reload-storm",
        Fault.RELOADS,
        Hit.NONE,
        "Reloads nginx 200 times, five times a second.",
        "No request fails.",
        Bounds(None, 5.0, 90.0),  # it lasts 40 s by itself
    ),
    Drill(
        "kill-controller",
        Fault.CONTROLLER,
        Hit.NONE,
        "Kills the controller (SIGKILL); its supervisor starts it again.",
        "No request fails: router and nodes serve on without it.",
        Bounds(None, 5.0, 90.0),
    ),
)
DRILLS: Final[Mapping[str, Drill]] = {drill.name: drill for drill in _ALL}

NO_DRILLS: Final[Mapping[str, str]] = {
    "history-damaged": "the records of your users' requests could not be put back; "
    "`benchmarks/faults.py --faults history-damaged` does it to a fleet of its own",
    "wrong-answers": "users would get wrong answers until it is noticed; start a version whose "
    "model you know to be bad instead, which the golden clips must keep from traffic",
    "gpu-gone": "it is not built, for a GPU cannot be taken from a running process and be given "
    "back; out-of-memory tries the part of the node in it that can be tried",
}


def drill_named(name: str) -> Drill:
    """Raises Refused for what is no drill on purpose, and NotFound with the names there are."""
    if (why := NO_DRILLS.get(name)) is not None:
        raise Refused(f"{name} is no drill, and nothing was broken: {why}")
    try:
        return DRILLS[name]
    except KeyError as error:
        known = ", ".join(DRILLS)
        raise NotFound(
            f"there is no drill {name!r}; nothing was broken. There are {known}"
        ) from error
