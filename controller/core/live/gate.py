"""A bound on live traffic or nodes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.errors import InvalidConfig
from controller.core.gate import Action
from controller.core.names import check_name


class Kind(StrEnum):
    SUCCESS = "success"  # requests that failed
    EMPTY = "empty"  # answers without text
    LATENCY = "latency"  # slower than 95 % of stable's requests of that length
    REAL_TIME_FACTOR = "real-time-factor"  # likewise, per second of audio
    MEMORY = "memory"  # of a GPU or the machine, that creeps up until it is full
    DEGRADED = "degraded"  # nodes that say they are not what they should be


OF_NODES: Final = frozenset({Kind.MEMORY, Kind.DEGRADED})  # not of requests


# The chance that a rollout of an equal version ends for this gate: together 1 %.
FAIL_BUDGET: Final = {
    Kind.SUCCESS: 0.005,
    Kind.EMPTY: 0.001,
    Kind.LATENCY: 0.003,
    Kind.REAL_TIME_FACTOR: 0.0005,
    Kind.MEMORY: 0.0005,
}
# The chance that a version worse by the margin passes. All gates have to pass, so no sharing.
PASS_BUDGET: Final = 0.05
# Beyond this share too little of the old version's traffic is left to tell a worse canary from a
# day on which everything is worse: requests then add no evidence, for or against.
MOST_SHARE_PERCENT: Final = 80.0
_MARGIN_POINTS: Final = {Kind.LATENCY: 5.0, Kind.REAL_TIME_FACTOR: 5.0}


@dataclass(frozen=True, slots=True)
class LiveGate:
    """`max_increase_points`: by how much the share of bad requests may rise for a pass, in
    percentage points (None: 1, of slow requests 5); any rise that is sure is a fail. Passing
    takes `min_keys` sticky keys and `min_requests` requests of the canary. `on_fail` and
    `on_inconclusive`: None is what the plan says. Raises InvalidConfig."""

    name: str
    kind: Kind
    max_increase_points: float | None = None
    min_keys: int = 10
    min_requests: int = 100
    on_fail: Action | None = None
    on_inconclusive: Action | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "gate")
        if not 0 < self.margin_points < 100:
            raise InvalidConfig(
                f"max_increase_points: {self.margin_points:g} is not above 0 and below 100"
            )
        if self.min_keys < 2:
            raise InvalidConfig(f"min_keys: {self.min_keys} is fewer than 2")
        if self.min_requests < 1:
            raise InvalidConfig(f"min_requests: {self.min_requests} is fewer than 1")

    @property
    def compares(self) -> bool:
        """Whether it compares requests of two pools; else it looks at the canary's nodes."""
        return self.kind not in OF_NODES

    @property
    def margin_points(self) -> float:
        if self.max_increase_points is None:
            return _MARGIN_POINTS.get(self.kind, 1.0)
        return self.max_increase_points
