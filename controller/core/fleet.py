"""The fleet: how many nodes of which pool (configuration), and which version plays which part."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.core.errors import NotFound, Refused
from controller.core.failover import FailoverRules
from controller.core.golden import GoldenCheck
from controller.core.health import ProbeLimits
from controller.core.routing import Rule, Sticky
from controller.core.version import Version


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """What fleet.yaml says, without the parts that only an adapter reads.

    `devices` are what nodes may run on (cuda:0, …); empty means that every node chooses for
    itself. Each node takes one device alone unless `share_devices`."""

    service: str
    versions: Mapping[str, Version]
    initial_version: str
    stable_nodes: int = 2
    backup_nodes: int = 1
    canary_nodes: int = 1
    devices: tuple[str, ...] = ()
    share_devices: bool = False
    probes: ProbeLimits = field(default_factory=ProbeLimits)
    golden: GoldenCheck | None = None
    rules: tuple[Rule, ...] = ()
    sticky: Sticky = Sticky.KEY
    stream_drain_seconds: float = 3600.0
    cookie_prefix: str = "ABTEST_"
    failover: FailoverRules = field(default_factory=FailoverRules)
    batches_to_backup: bool = False  # POST /v1/batches, while the backup is ready

    def canary_nodes_for(self, percent: float) -> int:
        """How many canary nodes a share needs: as many of the stable's as it takes over."""
        return max(self.canary_nodes, math.ceil(percent / 100 * self.stable_nodes))

    def baseline_nodes_for(self, percent: float) -> int:
        """How many nodes a baseline with this share needs: as many as a canary with it."""
        return self.canary_nodes_for(percent) if percent else 0

    def check_capacity(
        self, rollback_window_seconds: float, retired_nodes: int = 0, baseline_nodes: int = 0
    ) -> None:
        """Raise Refused where a rollout would need more devices than there are."""
        if not self.devices or self.share_devices:
            return
        canary = self.canary_nodes_for(100)
        needed = self.stable_nodes + canary + self.backup_nodes + retired_nodes + baseline_nodes
        if rollback_window_seconds:  # the retired nodes stay while the backup is renewed
            needed += 1
        if needed > len(self.devices):
            baseline = f"{baseline_nodes} baseline, " if baseline_nodes else ""
            raise Refused(
                f"a rollout needs {needed} devices ({self.stable_nodes} stable, {canary} canary, "
                f"{baseline}{self.backup_nodes} backup, one to renew it, {retired_nodes} still "
                f"warm) and fleet.yaml lists {len(self.devices)}; nothing was started. Add "
                f"devices, or set `gpu: shared`, or `rollback_window: 0` in the plan"
            )


@dataclass(frozen=True, slots=True)
class Fleet:
    """Which version plays which part: the state that outlives every rollout."""

    stable: str
    previous: str | None = None  # where `rollback` goes after a promotion
    retired: str | None = None  # replaced, kept warm without traffic
    retired_until: datetime.datetime | None = None
    bad: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()  # were stable once: `rollback --to` may name them

    def promoted(self, version: str, until: datetime.datetime) -> Fleet:
        """`version` becomes stable; the one before stays warm until `until`."""
        return replace(
            self,
            stable=version,
            previous=self.stable,
            retired=self.stable,
            retired_until=until,
            bad=self.bad - {version},
            replaced=self.replaced | {self.stable},
        )

    def rolled_back(self, to: str | None, until: datetime.datetime, force: bool = False) -> Fleet:
        """Back to `to`, or to the version that was stable before; the one left is marked bad.

        Raises NotFound where there is nothing to go back to, and Refused where `to` never was
        stable or was itself rolled back, unless `force`."""
        target = to or self.previous
        if target is None:
            raise NotFound(
                f"there is no version to roll back to: none was stable before {self.stable}, or "
                f"it was rolled back. {self.stable} serves; name another with --to VERSION"
            )
        if target == self.stable:
            raise Refused(f"{target} is stable already; nothing was changed")
        if target in self.bad and not force:
            raise Refused(
                f"{target} is marked bad: it was rolled back before. Nothing was changed; "
                f"`rollback --to {target} --force` goes there anyway"
            )
        if target not in self.replaced | {self.previous} and not force:
            raise Refused(
                f"{target} was never stable here, so nothing shows that it is good. Nothing was "
                f"changed; `rollout start {target}` measures it first, `rollback --to {target} "
                f"--force` goes there at once"
            )
        return Fleet(
            stable=target,
            previous=None,
            retired=self.stable,
            retired_until=until,
            bad=(self.bad | {self.stable}) - {target},
            replaced=self.replaced | {self.stable},
        )

    def expired(self, now: datetime.datetime) -> Fleet:
        """Without the retired version once its time is over."""
        if self.retired_until is not None and now >= self.retired_until:
            return replace(self, retired=None, retired_until=None)
        return self
