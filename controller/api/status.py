"""The state as `GET /api/status` and `rollout status --json` show it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from controller.core.consequence import consequence
from controller.core.desired import Desired, Pool
from controller.core.health import Health, NodeHealth
from controller.core.rollout import Phase, Rollout
from controller.core.routing import BACKUP_GROUP, Routing
from controller.core.verdict import Verdict
from controller.core.waiting import next_action
from controller.engine.loop import Loop
from controller.engine.ports.router import RouterState
from controller.engine.records import Event
from controller.engine.traffic import Traffic


def status(loop: Loop, router: RouterState, runtime: str) -> dict[str, Any]:
    """Everything a person or a program asks first. Facts of this moment, from memory."""
    wanted = loop.desired()
    return {
        "service": loop.config.service,
        "runtime": runtime,
        "router": _router(router, loop.traffic) | {"settled": _is_settled(wanted, router)},
        "pools": {pool.value: _pool(loop, wanted, pool) for pool in Pool},
        "leaving": _leaving(loop, wanted),
        "rollout": _rollout(loop, loop.rollout) if loop.rollout is not None else None,
        "fleet": {
            "stable": loop.fleet.stable,
            "previous": loop.fleet.previous,
            "retired": loop.fleet.retired,
            "bad": sorted(loop.fleet.bad),
        },
        "failover": _failover(loop),
        "alarm": loop.alarm.text,
        "tick_seconds": round(loop.tick_seconds, 4),
    }


def _router(router: RouterState, traffic: Traffic) -> dict[str, Any]:
    asked = percent(router.routing)
    return {
        "url": router.url,
        "running": router.running,
        "generation": router.generation,
        "percent": asked,
        "serving": router.routing.stable if router.routing is not None else None,
        "failed_over": router.routing is not None and router.routing.stable == BACKUP_GROUP,
        "traffic": traffic.summary(),
    }


def _failover(loop: Loop) -> dict[str, Any]:
    """What the backup does for stable (none, shares, serves) and why, and whether it could take
    over now (`problem`). Load and room are in seconds of audio per second; null: not known."""
    keeper, state, capacity = loop.failover, loop.failover.state, loop.failover.capacity
    since = state.since
    return {
        "help": state.help.value,
        "reason": state.reason,
        "since": datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat()
        if since is not None
        else None,
        "load": _rounded(capacity.load),
        "room": _rounded(capacity.room),
        "backup_room": _rounded(capacity.backup_room),
        "problem": capacity.problem,
        "held_out": sorted(keeper.held),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _is_settled(wanted: Desired, router: RouterState) -> bool:
    """Whether nginx serves exactly as it should; not for a moment after each change."""
    return (router.loaded, router.routing) == (wanted.membership, wanted.routing)


def percent(routing: Routing | None) -> dict[str, float]:
    """The share of random traffic that is asked for, by pool."""
    if routing is None:
        return {"stable": 100.0, "canary": 0.0}
    canary, baseline = routing.canary_percent, routing.baseline_percent
    shares = {"stable": round(100.0 - canary - baseline, 1), "canary": canary}
    return shares | ({"baseline": baseline} if baseline else {})


def _pool(loop: Loop, wanted: Desired, pool: Pool) -> dict[str, Any]:
    nodes = [node for node in wanted.nodes if node.pool is pool]
    versions = list(dict.fromkeys(node.version for node in nodes))
    version = versions[0] if versions else None
    return {
        "version": version,
        "digest": loop.observer.digests.get(version) if version else None,
        "nodes": [_node(loop, node.name, node.version) for node in nodes],
    }


def _leaving(loop: Loop, wanted: Desired) -> list[dict[str, Any]]:
    """Nodes that get nothing new, and end when the last request, stream and batch has ended."""
    nodes = loop.observer.nodes.items()
    return [_node(loop, name, node.version) for name, node in nodes if not wanted.wants(name)]


def _node(loop: Loop, name: str, version: str) -> dict[str, Any]:
    node, health = loop.observer.nodes.get(name), loop.observer.health.get(name)
    wrong = loop.observer.hears_wrong(node) if node is not None else None
    held = loop.failover.held_reason(name)
    return {
        "name": name,
        "version": version,
        "url": f"http://{node.address}" if node is not None and node.address else None,
        "health": node_health(loop, name),
        "reason": wrong or _why(loop, name, health) or held or "",
        "digest": health.digest if health is not None else None,
        "in_flight": health.in_flight if health is not None else 0,
        "device": node.device if node is not None else None,
        "memory": [asdict(memory) for memory in health.memory] if health is not None else [],
        "started_at": node.started_at.isoformat() if node is not None else None,
    }


def _why(loop: Loop, name: str, health: NodeHealth | None) -> str:
    """Why it is not healthy; of one that ended, or starts again after that, its last words."""
    if health is None:
        return "not started yet"
    problem = loop.keeper.crashes.problem(name)
    match health.health:
        case Health.ENDED if problem:
            return problem
        case Health.STARTING if problem:
            return f"{health.reason}; before that {problem}"
        case _:
            return health.reason


def node_health(loop: Loop, name: str) -> str:
    """A word of `core.health.Health`; `wanted`: not started yet; `failed`: it ended again and
    again, and is tried again now and then."""
    health = loop.observer.health.get(name)
    if health is None:
        return "wanted"
    ended = health.health is Health.ENDED
    return "failed" if ended and loop.keeper.crashes.has_failed(name) else health.health.value


def _rollout(loop: Loop, rollout: Rollout) -> dict[str, Any]:
    measuring = rollout.phase is Phase.HOLDING and rollout.plan.gates and not rollout.evaluated
    return rollout_summary(rollout) | {
        "verdicts": _verdicts(rollout, loop.verdicts(rollout)),
        "copies": loop.shadow.overview(rollout),
        "next_action": (measuring and loop.gates.progress) or loop.next_action(rollout),
    }


def event_summary(event: Event) -> dict[str, Any]:
    return asdict(event) | {"at": event.at.isoformat()}


def rollout_summary(rollout: Rollout) -> dict[str, Any]:
    """A rollout, running or ended."""
    return {
        "id": rollout.id,
        "version": rollout.version,
        "from_version": rollout.from_version,
        "plan": rollout.plan.name,
        "phase": rollout.phase.value,
        "step": rollout.step + 1,
        "consent": rollout.plan.consent,
        "steps": [step.percent for step in rollout.plan.steps],
        "percent": rollout.percent,
        "shadow": rollout.shadow,
        "gates": len(rollout.plan.gates),
        "reason": rollout.reason,
        "actor": rollout.actor,
        "created_at": rollout.created_at.isoformat(),
        "phase_since": rollout.phase_since.isoformat(),
        "next_action": next_action(rollout),
        "verdicts": _verdicts(rollout, rollout.verdicts),
        "overruled": list(rollout.overruled),
    }


def _verdicts(rollout: Rollout, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Each with what the plan makes of it: continue, hold or rollback."""
    return [asdict(v) | {"consequence": consequence(rollout.plan, v)} for v in verdicts]
