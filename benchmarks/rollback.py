"""How fast a rollback is, under load: `.venv/bin/python benchmarks/rollback.py`.

The time ends when the router turned to a canary's node for the last time, by its access log.
It begins just before the request to the API was written, so a little before the API received
it. `command_seconds` begin before the `rollback` process is started."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.canary_log import Received, read_received, seconds_to_last
from benchmarks.fleet import BenchFleet, FleetFailed, end_like_ctrl_c
from benchmarks.load_process import LoadProcess
from benchmarks.narrator import Narrator
from benchmarks.records import Record, share_error_points
from benchmarks.rollback_rounds import PLANS, VERSIONS, Kind, Round, Rounds

_SHARES: Final = (5, 20, 50)
_KEYS: Final = 10_000
_COUNTING: Final = ("--light", "--distinct-keys", "--clients", "16", "--interval", "0")
_TIMED: Final = (Kind.STEADY, Kind.LOADING, Kind.DRAINING)
_TARGETS: Final = {
    "rollback_seconds_median": 0.15,
    "rollback_seconds_max": 0.5,
    "command_seconds_median": 1.0,
    "share_error_points_max": 1.5,
}


def kinds(rounds: int, commands: int, starting: int) -> list[Kind]:
    """`rounds` of the timed kinds in turn, then the others."""
    timed = [_TIMED[number % len(_TIMED)] for number in range(rounds)]
    return timed + [Kind.COMMAND] * commands + [Kind.STARTING] * starting


def play(fleet: BenchFleet, options: argparse.Namespace, tell: Narrator) -> dict[str, Any]:
    """Rounds and shares under the paced load; the numbers."""
    with LoadProcess(fleet.router_url, fleet.folder / "load.jsonl") as load:
        shares, counting = measure_shares(fleet, options.keys, tell)
        rounds = Rounds(fleet)
        done: list[Round] = []
        for each in rounds.play(kinds(options.rounds, options.commands, options.starting)):
            done.append(each)
            tell.say(f"rollback {len(done)}: {each.kind}")
        paced = load.stop()
    log = read_received(fleet.state_dir / "router" / "access.log")
    records = paced + counting + rounds.light_records
    return numbers(done, log, records) | {
        "shares": shares,
        "share_error_points_max": round(
            max(share_error_points(got, options.keys, asked) for asked, got in shares.items()), 3
        ),
        "paced_requests": len(paced),
        "paced_failed": sum(not record.ok for record in paced),
    }


def measure_shares(
    fleet: BenchFleet, keys: int, tell: Narrator
) -> tuple[dict[int, int], list[Record]]:
    """How many of `keys` requests with distinct keys the canary answered, by percentage."""
    fleet.client.post("/api/rollouts", {"version": "v2", "plan": "shares"})
    shares, records = {}, []
    for number, percent in enumerate(_SHARES):
        if number:
            fleet.wait_until("the step is over", lambda: fleet.rollout()["phase"] == "waiting", 60)
            fleet.client.post("/api/rollouts/current/promote", {})
        fleet.wait_for_share(percent)
        output = fleet.folder / f"share-{percent}.jsonl"
        options = [*_COUNTING, "--requests", str(keys), "--seed", str(percent)]
        with LoadProcess(fleet.router_url, output, *options) as counting:
            found = counting.wait()
        shares[percent] = sum(record.version == "v2" for record in found)
        records += found
        tell.say(f"at {percent} %: {shares[percent]} of {keys} keys got the canary")
    fleet.client.post("/api/rollback", {})
    return shares, records


def numbers(
    rounds: Sequence[Round], log: Sequence[Received], records: Sequence[Record]
) -> dict[str, Any]:
    """The keys that others read, and by kind what they are made of."""
    by_kind = {kind: _times(kind, rounds, log) for kind in Kind}
    timed = [seconds for kind in _TIMED for seconds in by_kind[kind]]
    answers = [each.answered - each.began for each in rounds if each.kind in _TIMED]
    commands = [each.answered - each.began for each in rounds if each.kind is Kind.COMMAND]
    return {
        "rollback_seconds_median": _median(timed),
        "rollback_seconds_max": round(max(timed, default=0.0), 4),
        "command_seconds_median": _median(by_kind[Kind.COMMAND]),
        "failed": sum(not record.ok for record in records),
        "requests": len(records),
        "rollbacks": len(rounds),
        "answer_seconds_median": _median(answers),
        "command_exit_seconds_median": _median(commands),
        "seconds": {
            kind.name.lower(): [round(s, 4) for s in times] for kind, times in by_kind.items()
        },
        "rollback_seconds_max_as_clients_saw": round(_as_clients_saw(rounds, records), 4),
    }


def _times(kind: Kind, rounds: Sequence[Round], log: Sequence[Received]) -> list[float]:
    return [seconds_to_last(log, r.began, r.until) for r in rounds if r.kind is kind]


def _as_clients_saw(rounds: Sequence[Round], records: Sequence[Record]) -> float:
    """The same by the clients' clocks, from when they sent: a check of the log's numbers."""
    seconds = [0.0]
    for each in rounds:
        if each.kind in _TIMED:
            late = (r for r in records if each.began < r.start < each.until)
            seconds += [r.start - each.began for r in late if r.version == each.version]
    return max(seconds)


def _median(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds), 4) if seconds else 0.0


def show(found: dict[str, Any], tell: Narrator) -> None:
    rows = []
    for kind in Kind:
        seconds = found["seconds"][kind.name.lower()]
        worst = f"{max(seconds, default=0.0):.3f}"
        rows.append([kind.value, str(len(seconds)), f"{_median(seconds):.3f}", worst])
    tell.table(
        "seconds until the last request that a canary received",
        ["when the rollback came", "times", "median", "worst"],
        rows,
    )
    rows = [[key, f"{found[key]:.3f}", f"< {most:g}"] for key, most in _TARGETS.items()]
    rows.append(["failed", f"{found['failed']} of {found['requests']}", "0"])
    tell.table("all together", ["", "measured", "target"], rows)


def is_good(found: dict[str, Any]) -> bool:
    return not found["failed"] and all(found[key] < most for key, most in _TARGETS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every target is met."""
    options = _parser().parse_args(arguments)
    end_like_ctrl_c()
    tell = Narrator()
    tell.say(f"starts controller, router and three nodes ({options.runtime} runtime)")
    try:
        with BenchFleet(options.runtime, PLANS, VERSIONS) as fleet:
            tell.say("20 paced clients send audio from now on, and never retry")
            found = play(fleet, options, tell) | {"runtime": options.runtime}
    except KeyboardInterrupt:
        tell.say("stopped; nothing is left running")
        return 130
    except FleetFailed as error:
        tell.say(f"FAILED: {error}")
        return 1
    show(found, tell)
    print(json.dumps(found))
    return 0 if is_good(found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollback", description=__doc__)
    add = parser.add_argument
    add("--runtime", choices=["process", "docker"], default="process")
    add("--rounds", type=int, default=21, help="timed rollbacks by the API")
    add("--commands", type=int, default=9, help="rollbacks by the `rollback` command")
    add("--starting", type=int, default=3, help="rollbacks before the canary had any traffic")
    add("--keys", type=int, default=_KEYS, help="requests with distinct keys at each percentage")
    return parser


if __name__ == "__main__":
    sys.exit(main())
