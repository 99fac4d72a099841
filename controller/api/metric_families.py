"""What the controller tells Prometheus, read from the loop's facts when it asks: nothing is
counted twice, and nothing here holds a secret, a user's key or a text."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from controller.api.status import percent
from controller.core.desired import Pool, WantedNode
from controller.core.health import Health
from controller.core.rollout import Phase
from controller.core.routing import BACKUP_GROUP
from controller.core.verdict import Outcome
from controller.engine.loop import Loop
from controller.engine.measures import OUTCOMES, Timing

PREFIX: Final = "asr_controller"
WANTED: Final = "wanted"  # the health of a node that has not been started yet
Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float]]  # by the labels' values


def of_loop(loop: Loop, runtime: str, lag: Timing) -> Iterator[Metric]:
    """From memory, at once: a fact must not change while it is read."""
    yield InfoMetricFamily(
        f"{PREFIX}_build",
        "The program that runs",
        {
            "version": installed_version("asr-rollout"),
            "service": loop.config.service,
            "runtime": runtime,
        },
    )
    yield gauge("alarm", "1 while `rollout status` shows one", loop.alarm.text is not None)
    written = loop.state_problem is None
    yield gauge("state_written", "0 while the state cannot be written down", written)
    wanted = loop.desired()
    yield from _nodes(loop, wanted.nodes)
    yield from _router(loop)
    yield from _traffic(loop)
    yield from _rollout(loop)
    last_tick = time.time() - loop.ticks.age
    yield gauge("last_tick_timestamp_seconds", "When the loop last ended a round", last_tick)
    yield from _timing("tick", "A round of the loop", loop.ticks)
    yield from _timing("event_loop_lag", "How late the controller's own timers are", lag)
    text = "How late the prober itself was: the longest of the last minute"
    yield gauge("prober_lag_worst_seconds", text, loop.observer.lag_seconds)


def of_disk(folder: Path) -> Iterator[Metric]:
    """Of the state folder's disk. Blocking."""
    usage = shutil.disk_usage(folder)
    yield gauge("state_free_bytes", "Left on the disk of the state folder", usage.free)
    yield gauge("state_size_bytes", "Of the disk of the state folder", usage.total)


def _nodes(loop: Loop, nodes: Iterable[WantedNode]) -> Iterator[Metric]:
    healths = [WANTED, *(health.value for health in Health)]
    counts = {(pool.value, health): 0 for pool in Pool for health in healths}
    wanted = {(pool.value,): 0 for pool in Pool}
    ready, failed = dict(wanted), dict(wanted)
    each: dict[Labels, float] = {}
    views = loop.observer.views()
    for node in nodes:
        pool, known = node.pool.value, loop.observer.health.get(node.name)
        is_ready = node.name in views and views[node.name].ready
        counts[pool, known.health.value if known is not None else WANTED] += 1
        wanted[pool,] += 1
        ready[pool,] += is_ready
        failed[pool,] += loop.keeper.crashes.has_failed(node.name)
        each[node.name, pool, node.version] = is_ready
    yield labelled_gauge("nodes", "By what the probes say", ("pool", "health"), counts.items())
    yield labelled_gauge("nodes_wanted", "That must exist", ("pool",), wanted.items())
    yield labelled_gauge("nodes_ready", "That may take traffic", ("pool",), ready.items())
    yield labelled_gauge("nodes_failed", "That end again and again", ("pool",), failed.items())
    labels = ("node", "pool", "version")
    yield labelled_gauge("node_ready", "1 while the node may take traffic", labels, each.items())


def _router(loop: Loop) -> Iterator[Metric]:
    state, keeper = loop.router_state(), loop.router
    serving = state.routing.stable if state.routing is not None else None
    yield gauge("router_up", "1 while nginx runs and answers", state.running)
    yield gauge("router_generation", "The configuration in effect", state.generation)
    yield gauge("failed_over", "1 while the backup serves", serving == BACKUP_GROUP)
    yield counter("router_loads", "Configurations that were to take effect", keeper.loads)
    yield counter("router_load_failures", "Those that did not", keeper.loads_failed)
    yield counter("router_restarts", "Starts of an nginx that had died", keeper.revivals)


def _traffic(loop: Loop) -> Iterator[Metric]:
    none_yet = {(pool, outcome): 0 for pool in ("stable", "canary") for outcome in OUTCOMES}
    asked = percent(loop.router_state().routing)
    summary = loop.traffic.summary()
    told = {pool: summary[f"{pool}_percent_actual"] for pool in ("canary", "baseline")}
    actual = {pool: value for pool, value in told.items() if value is not None}
    yield labelled_gauge(
        "share_asked_ratio", "Of random traffic, asked for", ("pool",), _ratios(asked).items()
    )
    yield labelled_gauge(
        "share_actual_ratio",
        "Of random traffic since the share was set",
        ("pool",),
        _ratios(actual).items(),
    )
    yield labelled_counter(
        "requests",
        "Requests by the pool that they were sent to first, and what the client got",
        ("pool", "outcome"),
        (none_yet | loop.totals.requests).items(),
    )
    yield labelled_counter(
        "upstream_attempts",
        "Tries by node and its status; none: it gave no answer",
        ("node", "status"),
        loop.totals.attempts.items(),
    )


def _ratios(percents: Mapping[str, float]) -> dict[Labels, float]:
    return {(pool,): value / 100 for pool, value in percents.items()}


def _rollout(loop: Loop) -> Iterator[Metric]:
    """Of the newest rollout, ended or not."""
    rollout = loop.rollout
    phases = {(p.value,): float(rollout is not None and rollout.phase is p) for p in Phase}
    yield labelled_gauge(
        "rollout_phase", "1 for that of the newest rollout", ("phase",), phases.items()
    )
    if rollout is None:
        return
    since = rollout.phase_since.timestamp()
    yield gauge("rollout_phase_since_timestamp_seconds", "When that phase began", since)
    verdicts = loop.verdicts(rollout)
    outcomes = {(v.gate, o.value): float(v.verdict is o) for v in verdicts for o in Outcome}
    yield labelled_gauge(
        "gate_verdict", "1 for what a gate says now", ("gate", "verdict"), outcomes.items()
    )


def _timing(name: str, text: str, timing: Timing) -> Iterator[Metric]:
    family = f"{PREFIX}_{name}_seconds"
    yield SummaryMetricFamily(family, text, count_value=timing.count, sum_value=timing.total)
    yield gauge(f"{name}_worst_seconds", f"{text}: the longest of the last minute", timing.worst)


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value)


def labelled_gauge(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def labelled_counter(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
