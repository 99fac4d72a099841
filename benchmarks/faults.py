"""What users feel of each fault: `.venv/bin/python benchmarks/faults.py [--runtime docker]`.

Each fault has a fleet of its own (two stable nodes, a backup, and a canary where the fault is
about one) under 20 paced keep-alive clients that never retry. About two minutes a fault; some
need root, and are skipped by name without it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.faults_injected.catalogue import FAULTS, PLANS, Fault, Scene
from benchmarks.faults_injected.doorbell import Doorbell
from benchmarks.faults_injected.hands import hands_of
from benchmarks.faults_injected.row import STREAMS, Row, Seen, row, shortcomings
from benchmarks.faults_injected.streams import Streams
from benchmarks.faults_injected.table import LEGEND, show
from benchmarks.faults_injected.timeline import Timeline
from benchmarks.fleet import BenchFleet, FleetFailed, Runtime, end_like_ctrl_c
from benchmarks.load_process import LoadProcess
from benchmarks.narrator import Narrator
from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings
from controller.adapters.nginx.access_log import AccessLogReader, Request
from controller.client import Rejected, Unreachable

_RECOVERY_SECONDS: Final = 120.0
_WELL_SECONDS: Final = 5.0
_NEED_ROOT: Final = frozenset({"disk-full", "network-cut"})
_PATH: Final = "/v1/audio/transcriptions"


def play(fault: Fault, options: argparse.Namespace) -> Row:
    """One fault on a fleet of its own; its row. Raises FleetFailed."""
    fleet = BenchFleet(options.runtime, PLANS, supervised=True)
    with fault.ground(fleet), fleet:
        scene = Scene(fleet, hands_of(fleet), options.hold, options.reloads)
        if fault.prepare is not None:
            fault.prepare(scene)
        return row(fault, options.runtime, _watched(fault, scene, options))


def _watched(fault: Fault, scene: Scene, options: argparse.Namespace) -> Seen:
    fleet = scene.fleet
    load_options = [
        "--clients",
        str(options.clients),
        *(["--saturate"] if options.saturate else []),
    ]
    with (
        Timeline(fleet.url) as timeline,
        Streams(fleet.router_url, STREAMS) as streams,
        LoadProcess(fleet.router_url, fleet.folder / "load.jsonl", *load_options) as load,
        contextlib.ExitStack() as doors,
    ):
        bell = doors.enter_context(Doorbell(fleet.router_url)) if fault.may_fail_in_flight else None
        time.sleep(options.steady)
        with fault.act(scene):
            _wait_until_well(timeline, options.after)
        cut = streams.cut
        records = load.stop()
    log = _whole_log(fleet.state_dir / "router" / "access.log")
    again = bell.served_again(scene.began) if bell is not None else None
    return Seen(scene.began, records, timeline.samples, log, cut, again, scene.done)


def _wait_until_well(timeline: Timeline, at_least_seconds: float) -> None:
    """A fleet that does not recover is told by its row."""
    time.sleep(at_least_seconds)
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while not timeline.well_for(_WELL_SECONDS) and time.monotonic() < deadline:
        time.sleep(0.2)


def _whole_log(path: Path) -> list[Request]:
    reader = AccessLogReader(path)
    found: list[Request] = []
    while requests := reader.read():
        found += (request for request in requests if request.path == _PATH)
    return found


def missing(runtime: Runtime) -> str | None:
    """Why no fleet can run here and what to do about it, or None."""
    if runtime != "docker":
        return None
    settings = DockerSettings(service="bench", state_dir=Path("none"))
    return asyncio.run(DockerRuntime(settings).missing())


def why_not(fault: Fault, runtime: Runtime) -> str | None:
    """Why a fault is skipped here, or None."""
    if fault.name in _NEED_ROOT and os.geteuid() != 0:
        return "needs root"
    return fault.not_in.get(runtime)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every target is met."""
    options = _parser().parse_args(arguments)
    end_like_ctrl_c()
    tell = Narrator()
    if (problem := missing(options.runtime)) is not None:
        tell.say(f"FAILED: {problem}")
        return 1
    rows, skipped, missed = list[Row](), list[dict[str, str]](), list[str]()
    try:
        for fault in (FAULTS[name] for name in options.faults):
            if (why := why_not(fault, options.runtime)) is not None:
                skipped.append({"fault": fault.name, "runtime": options.runtime, "why": why})
                tell.say(f"{fault.name}: skipped: {why}")
                continue
            tell.say(f"{fault.name}: {fault.words}")
            missed += _tried(fault, options, rows, tell)
    except KeyboardInterrupt:
        tell.say("stopped; nothing is left running")
        return 130
    finally:
        show(rows, tell)
    print(json.dumps({"rows": [asdict(found) for found in rows], "skipped": skipped}))
    return 1 if missed else 0


def _tried(fault: Fault, options: argparse.Namespace, rows: list[Row], tell: Narrator) -> list[str]:
    """Which targets it missed, told at once; the others are tried all the same."""
    try:
        rows.append(play(fault, options))
        missed = shortcomings(fault, rows[-1])
    except (FleetFailed, Rejected, Unreachable) as error:
        missed = [str(error)]
    for problem in missed:
        tell.say(f"MISSED {fault.name}: {problem}")
    return missed


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in FAULTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(FAULTS)}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} are no seconds")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faults",
        description=__doc__,
        epilog=f"The table:\n{LEGEND}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--runtime", choices=["process", "docker"], default="process")
    all_of_them = f"of {', '.join(FAULTS)} (default: all)"
    add("--faults", type=_names, default=list(FAULTS), metavar="A,B", help=all_of_them)
    add("--clients", type=_count, default=20, help="that send audio (default: %(default)s)")
    add("--saturate", action="store_true", help="closed loops: a request in flight of each client")
    add("--steady", type=_seconds, default=40.0, help="seconds before it (default: %(default)g)")
    add("--after", type=_seconds, default=20.0, help="after it, at least (default: %(default)g)")
    add(
        "--hold",
        type=_seconds,
        default=15.0,
        help="that a passing one lasts (default: %(default)g)",
    )
    add(
        "--reloads",
        type=_count,
        default=200,
        help="of the storm, 5 a second (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
