"""2,000 nodes, probed once a second on one core: `.venv/bin/python benchmarks/probe.py`.

The controller's own prober asks fake nodes in another process, over real sockets, whether they
live and, as often, whether they are ready. A round's seconds are from its beginning to the last
answer; it is spread over 0.8 s on purpose, so that nodes are not all asked in one instant."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.narrator import Narrator
from benchmarks.probe_nodes import ProbeNodes, allow_many_files, pin
from benchmarks.records import percentile
from controller.adapters.node_http import NodeHttpClient
from controller.core.health import Health, ProbeLimits
from controller.engine.ports.node_client import Readiness
from controller.engine.ports.runtime import ObservedNode
from controller.engine.prober import LAG_SECONDS, Prober

_LIMITS: Final = ProbeLimits()
_TARGETS: Final = {"round_seconds_p99": 1.0, "lag_ms_max": 1000 * LAG_SECONDS}
_PULSE_SECONDS: Final = 0.01
_MOST_OPENING: Final = 10  # rounds


@dataclass(slots=True)
class Timed:
    """The controller's client, with a stop-watch: (beginning, end) of each question whether a
    node lives."""

    client: NodeHttpClient = field(default_factory=NodeHttpClient)
    answers: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0

    async def alive(self, address: str, timeout_seconds: float) -> None:
        began = time.perf_counter()
        try:
            await self.client.alive(address, timeout_seconds)
        except BaseException:  # also the prober's time-out
            self.failed += 1
            raise
        self.answers.append((began, time.perf_counter()))

    async def readiness(self, address: str, timeout_seconds: float) -> Readiness:
        return await self.client.readiness(address, timeout_seconds)

    async def close(self) -> None:
        await self.client.close()


async def measure(addresses: Sequence[str], rounds: int) -> dict[str, Any]:
    """So many rounds, one a second, after those that opened the connections."""
    client = Timed()
    nodes = tuple(_node(f"v1-{n}", address) for n, address in enumerate(addresses, 1))
    prober = Prober(client, _LIMITS, lambda: None)
    prober.follow(nodes)
    try:
        opened = await _open(prober, nodes)
        began = time.perf_counter()
        await prober.round(nodes)
        at_once = time.perf_counter() - began
        client.answers.clear()
        client.failed = 0
        found = await _paced(prober, client, nodes, rounds)
    finally:
        prober.close()
        await client.close()
    return found | {"all_at_once_seconds": round(at_once, 3), "healthy": opened}


async def _open(prober: Prober, nodes: tuple[ObservedNode, ...]) -> bool:
    """Whether all were healthy within some rounds; the first ones open the connections."""
    for _ in range(_MOST_OPENING):
        prober.begin_life_round(nodes)
        prober.begin_word_round(nodes)
        await asyncio.sleep(_LIMITS.interval_seconds)
        if _all_healthy(prober):
            return True
    return False


async def _paced(
    prober: Prober, client: Timed, nodes: tuple[ObservedNode, ...], rounds: int
) -> dict[str, Any]:
    lags: list[float] = []
    pulse = asyncio.create_task(_feel(lags))
    wall, used, begins = time.perf_counter(), time.process_time(), list[float]()
    for number in range(rounds):
        await asyncio.sleep(wall + number * _LIMITS.interval_seconds - time.perf_counter())
        begins.append(time.perf_counter())
        prober.begin_life_round(nodes)
        prober.begin_word_round(nodes)
    await asyncio.sleep(2 * _LIMITS.interval_seconds)
    seconds = time.perf_counter() - wall - _LIMITS.interval_seconds  # the last one was empty
    used = time.process_time() - used
    pulse.cancel()
    waits = [1000 * (end - began) for began, end in client.answers]
    return {
        "nodes": len(nodes),
        "round_seconds_p99": round(percentile(round_seconds(begins, client.answers), 99), 3),
        "answer_ms_p50": round(percentile(waits, 50), 2),
        "answer_ms_p99": round(percentile(waits, 99), 2),
        "lag_ms_p99": round(1000 * percentile(lags, 99), 1),
        "lag_ms_max": round(1000 * max(lags), 1),
        "cpu_percent": round(100 * used / seconds, 1),
        "failed": client.failed,
        "left_out": rounds * len(nodes) - len(client.answers) - client.failed,
        "still_healthy": _all_healthy(prober),
    }


def round_seconds(begins: Sequence[float], answers: Sequence[tuple[float, float]]) -> list[float]:
    """Of each round: until the last answer to a question that was asked in it."""
    seconds = []
    for began, until in zip(begins, [*begins[1:], float("inf")], strict=True):
        ends = [end for asked, end in answers if began <= asked < until]
        seconds.append(max(ends, default=began) - began)
    return seconds


async def _feel(lags: list[float]) -> None:
    """How late the event loop comes to what is due."""
    while True:
        due = time.perf_counter() + _PULSE_SECONDS
        await asyncio.sleep(_PULSE_SECONDS)
        lags.append(max(time.perf_counter() - due, 0.0))


def _all_healthy(prober: Prober) -> bool:
    return all(known.health is Health.HEALTHY for known in prober.health.values())


def _node(name: str, address: str) -> ObservedNode:
    now = datetime.datetime.now(datetime.UTC)
    return ObservedNode(name, "v1", name, True, address, now)


def show(found: dict[str, Any], tell: Narrator) -> None:
    rows = [[key, f"{found[key]:g}", f"< {most:g}"] for key, most in _TARGETS.items()]
    rows += [[key, str(found[key]), "0"] for key in ("failed", "left_out")]
    told = ("cpu_percent", "answer_ms_p50", "answer_ms_p99", "lag_ms_p99", "all_at_once_seconds")
    rows += [[key, f"{found[key]:g}", ""] for key in told]
    core = "one core" if found["pinned"] else "any core"
    tell.table(f"{found['nodes']} nodes, each probed once a second, on {core}",
               ["", "measured", "target"], rows)  # fmt: skip


def is_good(found: dict[str, Any]) -> bool:
    """All were asked in every second, and nobody was taken for dead."""
    asked = found["failed"] == found["left_out"] == 0 and found["still_healthy"]
    return bool(asked and all(found[key] < most for key, most in _TARGETS.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every target is met."""
    parser = argparse.ArgumentParser(prog="probe", description=__doc__)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args(arguments)
    tell = Narrator()
    allow_many_files(2 * options.nodes + 100)
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    with ProbeNodes(options.nodes, set(cpus[1:] or cpus)) as fakes:
        pinned = pin({cpus[0]})
        tell.say(f"{options.nodes} nodes listen; {options.rounds} rounds begin, one a second")
        found = asyncio.run(measure(fakes.addresses, options.rounds)) | {"pinned": pinned}
    show(found, tell)
    print(json.dumps(found))
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
