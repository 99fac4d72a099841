"""What must exist and who gets traffic, computed from the whole state, every time anew.

Rollback, promotion and failover are nothing special here: another fleet or rollout or health
gives another Desired. Two rules keep users safe: traffic never moves to nodes that are not
ready, and no pool shrinks before the other has the capacity."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controller.core.fleet import Fleet, FleetConfig
from controller.core.rollout import Rollout
from controller.core.routing import (
    BACKUP_GROUP,
    BASELINE_GROUP,
    CookieRule,
    Endpoint,
    Group,
    Membership,
    Routing,
    Trial,
)
from controller.core.sharing import has_only, shared, with_last_nodes, without_held


class Pool(StrEnum):
    STABLE = "stable"
    CANARY = "canary"
    BACKUP = "backup"
    BASELINE = "baseline"
    RETIRED = "retired"


GROUPS: Final = {Pool.BACKUP: BACKUP_GROUP, Pool.BASELINE: BASELINE_GROUP}  # else: the version's


@dataclass(frozen=True, slots=True)
class WantedNode:
    """A node that must exist, and the part that it plays."""

    name: str
    version: str
    pool: Pool
    routed: bool = True  # False: only evaluated, never behind the router


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it is. `ready` is: runs, healthy, with its version's digest."""

    name: str
    version: str
    address: str | None
    ready: bool


@dataclass(frozen=True, slots=True)
class Desired:
    """`alarm` says what is wrong with the fleet as a whole, in words; None when nothing is."""

    nodes: tuple[WantedNode, ...]
    membership: Membership
    routing: Routing
    alarm: str | None = None

    def wants(self, name: str) -> bool:
        return any(node.name == name for node in self.nodes)


def cookie_name(config: FleetConfig, version: str) -> str:
    """The cookie with which a browser opts in to (value 1) or out of (0) a rollout."""
    return f"{config.cookie_prefix}{version}"


def is_backup(name: str) -> bool:
    """Whether a node's name says that it belongs to the backup pool."""
    return name.startswith("backup-")


def is_baseline(name: str) -> bool:
    """Whether a node's name says that it belongs to a baseline."""
    return name.startswith("baseline-")


def is_apart(name: str) -> bool:
    """Whether a node's name says that it is in a group apart from that of its version."""
    return is_backup(name) or is_baseline(name)


def baseline_nodes(config: FleetConfig, rollout: Rollout, percent: float) -> list[WantedNode]:
    """The nodes of the old version that stand beside a canary with `percent`. They are named
    after the rollout: what another has left behind, and still drains, is not fresh."""
    version, number = rollout.from_version, rollout.id.rpartition("-")[2]
    count = config.baseline_nodes_for(rollout.plan.baseline_percent(percent))
    return [
        WantedNode(f"baseline-{version}-{number}-{n}", version, Pool.BASELINE)
        for n in range(1, count + 1)
    ]


def desired(
    config: FleetConfig,
    fleet: Fleet,
    rollout: Rollout | None,
    views: Mapping[str, NodeView],
    serving: Routing | None,
    loaded: Membership | None,
    evaluated: Iterable[str] = (),
    *,
    shares: bool = False,
    held: Collection[str] = (),
) -> Desired:
    """The whole of what should be. `serving` and `loaded` are what the router has now (None
    before its first load); they matter where the new nodes are not ready yet. `evaluated`
    versions need a node without traffic. `shares`: the backup's nodes of stable's version are
    among stable's (core.failover); `held`: nodes that get none where others are ready."""
    active = rollout if rollout is not None and not rollout.ended else None
    main = main_version(config, fleet, views, serving)
    nodes = _wanted(config, fleet, active, main, views, evaluated)
    alike = {name for name, view in views.items() if view.version == main}
    membership = without_held(_without_bad(_membership(nodes, views), main, fleet.bad), held)
    if shares:
        membership = shared(membership, main, alike)
    last = _without_bad(loaded, main, fleet.bad) if loaded is not None else Membership()
    if not membership.groups and last.groups:
        # Fail static: nobody known to be healthy means that we may be the ones who are wrong.
        membership = last
        alarm: str | None = "no node is known to be healthy; the last node lists stay in place"
    else:
        alarm = _alarm(config, fleet, main, membership)
        membership = with_last_nodes(membership, main, loaded)
    routing = _routing(config, main, active, membership)
    if config.batches_to_backup and has_only(membership, BACKUP_GROUP, alike):
        routing = replace(routing, batches=BACKUP_GROUP)
    healthy = any(view.ready for view in views.values())
    return Desired(nodes, membership, replace(routing, known_healthy=healthy), alarm)


def main_version(
    config: FleetConfig, fleet: Fleet, views: Mapping[str, NodeView], serving: Routing | None
) -> str:
    """The version whose group is to be stable: the fleet's, once it has the capacity."""
    if serving is None or serving.stable in {fleet.stable, BACKUP_GROUP}:
        return fleet.stable
    new, old = _ready(views, fleet.stable), _ready(views, serving.stable)
    if new >= config.stable_nodes or (new > 0 and old == 0):
        return fleet.stable
    return serving.stable


def _ready(views: Mapping[str, NodeView], version: str) -> int:
    return sum(
        view.ready and view.version == version and not is_apart(view.name)
        for view in views.values()
    )


def _wanted(
    config: FleetConfig,
    fleet: Fleet,
    active: Rollout | None,
    main: str,
    views: Mapping[str, NodeView],
    evaluated: Iterable[str],
) -> tuple[WantedNode, ...]:
    count = config.stable_nodes
    wanted = _of(fleet.stable, count, Pool.STABLE)
    if main != fleet.stable:
        wanted += _of(main, count, Pool.STABLE)
    if active is not None:
        reached = max(active.reached_percent, active.reached_shadow)
        share = max(reached, active.current_step.node_percent)
        wanted += _of(active.version, config.canary_nodes_for(share), Pool.CANARY)
        shares = active.reached_percent, active.current_step.percent
        most = max(shares, key=active.plan.baseline_percent)
        wanted += baseline_nodes(config, active, most)
    if fleet.retired is not None:
        wanted += _of(fleet.retired, count, Pool.RETIRED)
    wanted += _backup(config, fleet, views)
    wanted += [WantedNode(f"{v}-1", v, Pool.CANARY, routed=False) for v in sorted(evaluated)]
    return tuple({node.name: node for node in reversed(wanted)}.values())[::-1]


def _of(version: str, count: int, pool: Pool) -> list[WantedNode]:
    return [WantedNode(f"{version}-{n}", version, pool) for n in range(1, count + 1)]


def _backup(config: FleetConfig, fleet: Fleet, views: Mapping[str, NodeView]) -> list[WantedNode]:
    """The backup of the stable version; an older one's nodes stay until it is ready."""
    new = [
        WantedNode(f"backup-{fleet.stable}-{n}", fleet.stable, Pool.BACKUP)
        for n in range(1, config.backup_nodes + 1)
    ]
    if all(node.name in views and views[node.name].ready for node in new):
        return new
    old = [
        WantedNode(view.name, view.version, Pool.BACKUP)
        for view in views.values()
        if is_backup(view.name) and view.version != fleet.stable and view.ready
    ]
    return new + old


def _membership(nodes: Iterable[WantedNode], views: Mapping[str, NodeView]) -> Membership:
    """The ready nodes by group: a version's own, the backup and the baseline."""
    groups: dict[str, list[Endpoint]] = {}
    for node in nodes:
        view = views.get(node.name)
        if node.routed and view is not None and view.ready and view.address is not None:
            name = GROUPS.get(node.pool, node.version)
            groups.setdefault(name, []).append(Endpoint(node.name, view.address))
    return Membership(
        tuple(Group(name, tuple(sorted(group))) for name, group in sorted(groups.items()))
    )


def _without_bad(membership: Membership, main: str, bad: Collection[str]) -> Membership:
    """Where nobody is ready who should serve, the router falls to whoever there is: but never to
    a version that is marked bad, which is kept warm for a person who wants it back."""
    present = membership.group_names()
    if main in present or BACKUP_GROUP in present:
        return membership
    return Membership(tuple(group for group in membership.groups if group.name not in bad))


def _routing(
    config: FleetConfig, main: str, active: Rollout | None, membership: Membership
) -> Routing:
    present = membership.group_names()
    stable = BACKUP_GROUP if main not in present and BACKUP_GROUP in present else main
    plain = Routing(stable=stable, sticky=config.sticky)
    if active is None or active.version not in present:
        return plain
    if active.shadow:
        copied = active.version
        plain = replace(plain, salt=active.id, shadow=copied, shadow_percent=active.shadow)
    if active.reached_percent == 0:
        return plain
    cookie = cookie_name(config, active.version)
    opted = (CookieRule(cookie, "1", "canary"), CookieRule(cookie, "0", "stable"))
    trial = Trial(cookie, consent_required=active.plan.asks)
    baseline = BASELINE_GROUP if active.baseline_percent and BASELINE_GROUP in present else None
    return replace(
        plain,
        canary=active.version,
        canary_percent=active.percent,
        salt=active.id,
        rules=opted + config.rules,
        trial=trial,
        baseline=baseline,
        baseline_percent=active.baseline_percent if baseline else 0.0,
    )


def _alarm(config: FleetConfig, fleet: Fleet, main: str, membership: Membership) -> str | None:
    present = membership.group_names()
    if not present:
        return "no node is ready"
    if main not in present:
        holder = "the backup serves" if BACKUP_GROUP in present else "nobody serves its traffic"
        return f"no node of stable {main} is ready; {holder}"
    if main != fleet.stable:
        return f"{main} serves until enough nodes of {fleet.stable} are ready"
    if config.backup_nodes and BACKUP_GROUP not in present:
        return "the backup pool has no ready node"
    return None


def servable(wanted: Routing, loaded: Membership | None, serving: Routing | None) -> Routing | None:
    """`wanted`, less what the loaded configuration does not know yet; None: leave it as it is."""
    known = loaded.group_names() if loaded is not None else frozenset()
    stable = wanted.stable
    if stable not in known and serving is not None and serving.stable in known:
        stable = serving.stable
    if stable not in known:
        return None
    if wanted.batches not in known:
        wanted = replace(wanted, batches=None)
    if wanted.shadow is not None and wanted.shadow not in known:
        wanted = replace(wanted, shadow=None, shadow_percent=0.0)
    if wanted.canary is not None and wanted.canary not in known:
        return Routing(
            stable,
            sticky=wanted.sticky,
            known_healthy=wanted.known_healthy,
            batches=wanted.batches,
        )
    if wanted.baseline not in known:
        wanted = replace(wanted, baseline=None, baseline_percent=0.0)
    return replace(wanted, stable=stable)
