"""What Prometheus is told of faults: failover, fencing, the spool, drills."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from controller.api.metric_families import counter, gauge, labelled_counter, labelled_gauge
from controller.core.desired import Pool
from controller.core.drill.report import Outcome, Report
from controller.core.failover import Help
from controller.engine.loop import Loop

_SPOOLED: Final = (
    "accepted", "answered", "given_up", "expired", "withdrawn", "refused", "dropped"
)  # fmt: skip


def of_failover(loop: Loop) -> Iterator[Metric]:
    """From memory."""
    keeper, capacity = loop.failover, loop.failover.capacity
    helps = {(help_.value,): float(keeper.state.help is help_) for help_ in Help}
    yield labelled_gauge(
        "backup_help", "1 for what the backup does for stable", ("help",), helps.items()
    )
    problem = capacity.problem is not None
    yield gauge("backup_problem", "1 while the backup could not take over", problem)
    yield counter("failovers", "Times that the backup began to help", keeper.counts.failovers)
    yield counter("failbacks", "Times that stable was alone again", keeper.counts.failbacks)
    for name, text, counts in (
        ("fences", "Nodes that were killed because they were judged dead", loop.keeper.fences),
        ("node_restarts", "Starts of nodes that had ended by themselves", loop.keeper.restarts),
    ):
        by_pool = {(pool.value,): counts[pool.value] for pool in Pool}
        yield labelled_counter(name, text, ("pool",), by_pool.items())
    yield gauge("nodes_held_out", "That flap, and wait before they get traffic", len(keeper.held))
    if capacity.load is not None:
        text = "What is asked of stable, in seconds of audio per second"
        yield gauge("load_audio_seconds_per_second", text, capacity.load)
    rooms = {("stable",): capacity.room, ("backup",): capacity.backup_room}
    known = {pool: room for pool, room in rooms.items() if room is not None}
    text = "What a pool's nodes can do, in seconds of audio per second"
    yield labelled_gauge("room_audio_seconds_per_second", text, ("pool",), known.items())


def of_spool(summary: Mapping[str, Any]) -> Iterator[Metric]:
    yield gauge("spool_requests", "That wait for a node", summary["waiting"])
    yield gauge("spool_bytes", "Of the requests that wait", summary["waiting_bytes"])
    oldest = summary["oldest_seconds"] or 0.0
    yield gauge("spool_oldest_age_seconds", "Of the one that waits longest; 0: none does", oldest)
    counted = {(outcome,): float(summary[outcome]) for outcome in _SPOOLED}
    text = "Requests that no node could serve, by what became of them"
    yield labelled_counter("spooled_requests", text, ("outcome",), counted.items())


def of_drills(newest_first: Iterable[Report]) -> Iterator[Metric]:
    """Refused ones broke nothing, and say nothing."""
    last: dict[str, Report] = {}
    last_passed: dict[str, Report] = {}
    for report in newest_first:
        if report.outcome is not Outcome.REFUSED:
            last.setdefault(report.drill, report)
        if report.outcome is Outcome.PASSED:
            last_passed.setdefault(report.drill, report)
    passed = {(name,): float(report.outcome is Outcome.PASSED) for name, report in last.items()}
    yield labelled_gauge(
        "drill_last_passed", "1 where the newest one passed", ("drill",), passed.items()
    )
    for name, text, reports in (
        ("drill_last_end", "When the newest one ended", last),
        ("drill_last_success", "When the newest one that passed ended", last_passed),
    ):
        times = {(drill,): _seconds(report.ended_at) for drill, report in reports.items()}
        yield labelled_gauge(f"{name}_timestamp_seconds", text, ("drill",), times.items())


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()
