"""One node against FunASR's own server: `.venv/bin/python benchmarks/node.py`.

Both serve the same model on this machine in the same run. 16 clients with kept connections, in
a process of their own, send clips of 2-6 s as WAV, each the next as soon as it has its answer;
they never retry. The rounds alternate, so that what else the machine does hits both, and the
median of the rounds counts. /healthz is asked every 20 ms meanwhile. Then the node alone gets
a thousand recordings of every format and length, and its memory is watched."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import httpx

from benchmarks.fleet import end_like_ctrl_c
from benchmarks.load_process import LoadProcess
from benchmarks.narrator import Narrator
from benchmarks.node_memory import Curve, measure
from benchmarks.probing import probing
from benchmarks.recordings import mixture, wav_eval_set
from benchmarks.records import Record, percentile
from benchmarks.speech_servers import ROOT, ServerFailed, SpeechServer, asr_node, funasr_server

_EVAL_SET: Final = ROOT / "eval_sets" / "service"
_CLIPS: Final = 200
_COMPARED: Final = 50
_PROBE_SECONDS: Final = 0.02
_RAMP_SECONDS: Final = 1.0  # not counted: clients begin one after another
_HEALTH: Final = {"asr-node": "/healthz", "funasr-server": "/health"}
_TARGETS: Final = {"ratio": 2.0, "healthz_p99_ms": 50.0, "memory_growth_percent": 5.0}


@dataclass(slots=True)
class Side:
    """What one of the two servers did, round by round."""

    server: SpeechServer
    requests_per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    probe_seconds: list[float] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    probes_failed: int = 0

    def add(self, records: Sequence[Record], window: float) -> None:
        """Those that were answered in the window after the ramp."""
        begin = min(record.start for record in records) + _RAMP_SECONDS
        counted = [r for r in records if r.ok and begin <= r.end < begin + window]
        self.requests_per_second.append(len(counted) / window)
        self.seconds += [record.seconds for record in counted]
        self.requests += len(records)
        self.failed += sum(not record.ok for record in records)

    def probe_ms(self, percent: float) -> float:
        return round(1000 * percentile(self.probe_seconds, percent), 1)


def play(options: argparse.Namespace, folder: Path, tell: Narrator) -> dict[str, Any]:
    clips = wav_eval_set(_EVAL_SET, folder / "clips", 2.0, 6.0, _CLIPS)
    with ExitStack() as servers:
        ours = asr_node(options.model, shlex.split(options.node_options), folder)
        sides = [Side(servers.enter_context(ours))]
        tell.say(f"asr-node {options.node_options} is ready")
        if not options.alone:
            sides.append(Side(servers.enter_context(funasr_server(options.model, folder))))
            tell.say("funasr-server is ready")
        different = compare_texts(sides, clips[:_COMPARED], tell)
        run_rounds(sides, options, folder, tell)
        curve = asyncio.run(
            measure(ours, mixture(clips, options.longest, 1), options.warm_up, options.requests, 8)
        )
    return numbers(sides, curve) | {"different_texts": different}


def compare_texts(sides: Sequence[Side], clips: Sequence[Path], tell: Narrator) -> int:
    """How many clips the two write differently. Also the first requests that they get."""
    different = 0
    for clip in clips:
        texts = {side.server.name: _text(side.server, clip) for side in sides}
        if len(set(texts.values())) > 1:
            different += 1
            tell.say(f"{clip.stem} is heard differently: {texts}")
    tell.say(f"{len(clips) - different} of {len(clips)} clips get the same text from both")
    return different


def _text(server: SpeechServer, clip: Path) -> str:
    url = f"{server.url}/v1/audio/transcriptions"
    with clip.open("rb") as file:
        answer = httpx.post(url, files={"file": file}, data={"model": "whisper-1"}, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["text"])


def run_rounds(
    sides: Sequence[Side], options: argparse.Namespace, folder: Path, tell: Narrator
) -> None:
    """One of the two is busy at a time; the other is up and idle."""
    for number in range(options.rounds + 1):
        for side in sides:
            output = folder / f"{side.server.name}-{number}.jsonl"
            asyncio.run(_round(side, output, folder / "clips", options, warm_up=number == 0))
        if number:
            last = ", ".join(f"{s.server.name} {s.requests_per_second[-1]:.1f}" for s in sides)
            tell.say(f"round {number}: requests a second: {last}; load {os.getloadavg()[0]:.1f}")


async def _round(
    side: Side, output: Path, clips: Path, options: argparse.Namespace, warm_up: bool
) -> None:
    seconds = options.seconds + 2 * _RAMP_SECONDS
    load_options = ["--saturate", "--eval-set", str(clips), "--clients", str(options.clients)]
    load_options += ["--seconds", str(seconds if not warm_up else min(5.0, seconds))]
    load = LoadProcess(side.server.url, output, *load_options)
    await asyncio.to_thread(load.start)
    path = _HEALTH[side.server.name]
    async with probing(side.server.url, path, _PROBE_SECONDS) as answers:
        records = await asyncio.to_thread(load.wait)
    if not warm_up:
        side.add(records, options.seconds)
        side.probe_seconds += answers.seconds
        side.probes_failed += answers.failed


def numbers(sides: Sequence[Side], curve: Curve) -> dict[str, Any]:
    """The keys that others read, and what they are made of."""
    ours, theirs = sides[0], (sides[1] if len(sides) > 1 else None)
    rate = _median(ours.requests_per_second)
    other = _median(theirs.requests_per_second) if theirs else None
    return {
        "requests_per_second": rate,
        "funasr_server_requests_per_second": other,
        "ratio": round(rate / other, 2) if other else None,
        "healthz_p99_ms": ours.probe_ms(99),
        "memory_growth_percent": round(curve.growth_percent, 2),
        "requests": sum(side.requests for side in sides),
        "failed": sum(side.failed for side in sides) + ours.probes_failed,
        "servers": {side.server.name: _one(side) for side in sides},
        "memory": curve.points,
        "memory_wrong": dict(curve.wrong),
    }


def _one(side: Side) -> dict[str, Any]:
    return {
        "requests_per_second": _median(side.requests_per_second),
        "rounds": [round(rate, 2) for rate in side.requests_per_second],
        "latency_seconds": [round(percentile(side.seconds, p), 3) for p in (50, 99)],
        "health_ms": [side.probe_ms(p) for p in (50, 99, 100)],
        "health_failed": side.probes_failed,
        "requests": side.requests,
        "failed": side.failed,
    }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2) if values else 0.0


def show(found: dict[str, Any], tell: Narrator) -> None:
    rows = []
    for name, side in found["servers"].items():
        p50, p99 = side["latency_seconds"]
        rate, health = side["requests_per_second"], side["health_ms"]
        rows.append(
            [name, f"{rate:.1f}", f"{p50:.2f}", f"{p99:.2f}", *(f"{ms:.1f}" for ms in health)]
        )
    columns = ["", "requests/s", "p50 s", "p99 s", "health p50 ms", "p99 ms", "max ms"]
    tell.table("16 clients, clips of 2-6 s", columns, rows)
    points = [[str(n), f"{f / 1e6:.1f}", f"{w / 1e6:.1f}"] for n, f, w in found["memory"]]
    columns = ["requests after warm-up", "node MB", "its workers MB"]
    tell.table("resident memory over mixed requests", columns, points)
    for problem, times in found["memory_wrong"].items():
        tell.say(f"{times} times {problem}")


def is_good(found: dict[str, Any]) -> bool:
    wrong = found["failed"] + found["different_texts"] + sum(found["memory_wrong"].values())
    fast = found["ratio"] is None or found["ratio"] >= _TARGETS["ratio"]
    lively = found["healthz_p99_ms"] < _TARGETS["healthz_p99_ms"]
    return fast and lively and not wrong and _is_flat(found)


def _is_flat(found: dict[str, Any]) -> bool:
    return bool(found["memory_growth_percent"] <= _TARGETS["memory_growth_percent"])


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every target is met."""
    options = _parser().parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 8.0
        options.warm_up, options.requests, options.longest = 50, 100, 10.0
    end_like_ctrl_c()
    tell = Narrator()
    tell.say(f"{os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}")
    try:
        with tempfile.TemporaryDirectory(prefix="asr-node-") as folder:
            found = play(options, Path(folder), tell)
    except KeyboardInterrupt:
        tell.say("stopped; nothing is left running")
        return 130
    except ServerFailed as error:
        tell.say(f"FAILED: {error}")
        return 1
    show(found, tell)
    print(json.dumps(found))
    return 0 if is_good(found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="node", description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=ROOT / "models" / "demo-v2", help="folder of the model")
    add("--node-options", default="--workers 2 --threads 1", help="what asr-node is started with")
    add("--alone", action="store_true", help="without funasr-server")
    add("--clients", type=int, default=16)
    add("--rounds", type=int, default=3, help="of each server, in turn")
    add("--seconds", type=float, default=20.0, help="of a round")
    add("--warm-up", type=int, default=200, help="mixed requests before memory is watched")
    add("--requests", type=int, default=1_000, help="mixed requests while it is")
    add("--longest", type=float, default=60.0, help="seconds of the longest of them")
    add("--quick", action="store_true", help="a minute, to see that it runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
