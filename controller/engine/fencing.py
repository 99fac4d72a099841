"""Kills nodes that are judged dead or hear wrong, so that what they hold is given to others.

A frozen node keeps its connections open: those whose requests it has would wait for it until
nginx's time-out. Once it is killed they are reset, and nginx gives the requests to others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.core.desired import GROUPS, Pool, WantedNode
from controller.core.health import Health, NodeHealth, ProbeLimits, Witness
from controller.engine.ports.runtime import ObservedNode
from controller.engine.prober import SecondOpinion


def why_fenced(
    wanted: WantedNode,
    node: ObservedNode,
    state: NodeHealth,
    others: Iterable[WantedNode],
    health: Mapping[str, NodeHealth],
    limits: ProbeLimits,
    opinion: SecondOpinion,
    astray: str | None = None,
) -> str | None:
    """Why this node is to be killed, or None. The last one that may answer is not: among the
    `others`, which may get traffic, must be one that answers and gets its work, or somebody else
    must say that it is dead. `astray`: why one that answers is not to be trusted."""
    if not node.running:
        return None
    if not _is_dead(node, state, limits):
        reason = astray
    elif node.paused:
        return f"{state.reason}; the runtime says that it is paused"
    elif state.failing_since and opinion(node.name, state.failing_since) is Witness.DEAD:
        return f"{state.reason}; the router cannot reach it either"
    else:
        reason = state.reason
    if reason is None or not wanted.routed:
        return reason
    heirs = (other for other in others if other.name != node.name and _inherits(other, wanted))
    return reason if any(_answers(health.get(heir.name)) for heir in heirs) else None


def _is_dead(node: ObservedNode, state: NodeHealth, limits: ProbeLimits) -> bool:
    """Also one that is paused while it starts: it would never get ready."""
    if state.health is Health.STARTING:
        return node.paused and state.failures >= limits.unhealthy_after
    return state.is_silent(limits)


def _inherits(other: WantedNode, dead: WantedNode) -> bool:
    """Whether nginx gives the work of the one to the other: within a group, to the backup, and
    from those that are tried to stable."""
    if not other.routed:
        return False
    if _group(other) == _group(dead) or other.pool is Pool.BACKUP:
        return True
    return other.pool is Pool.STABLE and dead.pool is not Pool.STABLE


def _answers(state: NodeHealth | None) -> bool:
    """One that is only doubted still may be the next to go."""
    return state is not None and state.takes_traffic and not state.fails


def _group(node: WantedNode) -> str:
    return GROUPS.get(node.pool, node.version)
