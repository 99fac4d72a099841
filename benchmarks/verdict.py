"""How soon, and how surely, a bad canary goes home: `.venv/bin/python benchmarks/verdict.py`.

Thousands of rollouts are simulated, and the live tests decide beside Flagger and Argo Rollouts on
the very same requests. About 15 minutes on one core for 2,000 rollouts; `--jobs 3` uses three."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.narrator import Narrator
from benchmarks.rollouts_simulated.cases import (
    REQUESTS,
    SECONDS,
    SHAPES_REQUESTS,
    USERS,
    Row,
    false_at_half,
    false_by_shape,
    passed_at_margin,
    rows_of,
)
from benchmarks.rollouts_simulated.leak import FULL_AFTER_HOURS, simulate_leaks
from benchmarks.rollouts_simulated.peers import PEERS
from benchmarks.rollouts_simulated.words import UTTERANCES, bootstrap_seconds, judge_words

# With fewer users the canary has a key or two: no test can know then whether it is the version
# or the user, and the verdict is "too few keys". Their rows are printed; misses, and bad answers
# beside the peers', are judged from here on. False rollbacks are judged everywhere.
JUDGED_USERS: Final = 400
MANY_USERS: Final = 4000
_TARGETS: Final = {
    "false_rollback_rate": 0.01,
    "missed_rate": 0.05,
    "floor_ratio": 3.0,
    "bad_answers_ratio_flagger_tuned": 0.5,
    "bad_answers_ratio_argo_tuned": 0.5,
    "bootstrap_seconds": 2.0,
}
_MISSABLE: Final = ("+2 % errors", "p95 x1.5")


def wald_floor(good: float = 0.01, bad: float = 0.03, error: float = 0.01) -> float:
    """Requests that Wald's sequential test takes on average to tell `bad` from `good` (error
    rates, ratios) with both errors at `error`, were requests independent and both rates known
    (Wald 1945): no test with these errors takes fewer (Wald & Wolfowitz 1948)."""
    information = bad * math.log(bad / good) + (1 - bad) * math.log((1 - bad) / (1 - good))
    odds = math.log((1 - error) / error)
    return ((1 - error) * odds - error * odds) / information


def simulate_users(users: int, rollouts: int, seed: int, requests: int) -> dict[str, Any]:
    """Everything about one number of users; a process's share of the work."""
    fewer = min(requests, SHAPES_REQUESTS)
    return {
        "rows": rows_of(users, rollouts, seed, requests),
        "false_by_shape": false_by_shape(users, rollouts, seed, fewer),
        "false_at_half": false_at_half(users, rollouts, seed, fewer),
        "passed_at_margin": passed_at_margin(users, rollouts, seed, fewer),
    }


def numbers(found: dict[int, dict[str, Any]], rollouts: int, seed: int) -> dict[str, Any]:
    """The keys that others read, and what they are made of."""
    rows: list[Row] = [row for part in found.values() for row in part["rows"]]
    leaks = simulate_leaks(seed, rollouts)
    judged = [row for row in rows if row.users >= JUDGED_USERS and row.case != "equal"]
    missable = [row for row in judged if row.case in _MISSABLE]
    many = [row for row in missable if row.users == MANY_USERS and row.case == "+2 % errors"]
    shapes = {users: part["false_by_shape"] for users, part in found.items()}
    false = [row.rolled_back for row in rows if row.case == "equal"]
    false += [rate for rates in shapes.values() for rate in rates.values()]
    halves = {users: part["false_at_half"] for users, part in found.items()}
    false += halves.values()
    evaluations = max(20, rollouts // 10)
    return {
        "false_rollback_rate": round(max(false) + float(leaks.false.mean()), 4),
        "missed_rate": round(max([1 - r.rolled_back for r in missable] + [leaks.missed]), 4),
        "floor_ratio": round(max(r.requests or math.inf for r in many) / wald_floor(), 3),
        **{f"bad_answers_ratio_{p.name.lower()}_tuned": _worst(judged, p.name) for p in PEERS},
        "bootstrap_seconds": round(bootstrap_seconds(rounds=3 if rollouts >= 100 else 1), 3),
        "floor_requests": round(wald_floor()),
        "false_rollback_rate_memory": float(leaks.false.mean()),
        "false_rollback_rate_other_shapes": shapes,
        "false_rollback_rate_at_half": halves,
        "promoted_at_margin": {users: part["passed_at_margin"] for users, part in found.items()},
        "leak": {"missed": leaks.missed, "hours": round(leaks.hours, 2)},
        "words": {
            f"{100 * rise:g} points": asdict(judge_words(seed, evaluations, rise))
            for rise in (0.0, 0.005)
        },
        "rows": [row.to_json() for row in rows],
        "rollouts": rollouts,
        "seed": seed,
    }


def _worst(rows: Sequence[Row], peer: str) -> float:
    ratios = [ratio for row in rows if (ratio := row.ratio(peer)) is not None]
    return round(max(ratios, default=math.inf), 3)


def show(found: dict[str, Any], rows: Sequence[Row], tell: Narrator) -> None:
    for case in dict.fromkeys(row.case for row in rows):
        _show_case(case, [row for row in rows if row.case == case], tell)
    leak = found["leak"]
    tell.say(
        f"slow leak (full after {FULL_AFTER_HOURS:g} h): {100 * leak['missed']:.1f} % missed, "
        f"found after {leak['hours']} h, no bad answer served; peers see it when requests fail"
    )
    for rise, words in found["words"].items():
        tell.say(
            f"CER +{rise}, {UTTERANCES:,} utterances, bound 0.3: {100 * words['failed']:.1f} % "
            f"fail, {100 * words['passed']:.1f} % pass, before any traffic; no peer sees words"
        )
    for users, rates in found["false_rollback_rate_other_shapes"].items():
        told = ", ".join(f"{shape} {100 * rate:.2f} %" for shape, rate in rates.items())
        tell.say(f"equal version, {users} users whose rates are otherwise: rolled back {told}")
    for users, rate in found["false_rollback_rate_at_half"].items():
        tell.say(f"equal version, {users} users, half of them: rolled back {100 * rate:.2f} %")
    for users, rate in found["promoted_at_margin"].items():
        tell.say(f"worse by just the margin, {users} users: passed {100 * rate:.2f} % (at most 5)")
    targets = [[key, f"{found[key]:g}", f"<= {most:g}"] for key, most in _TARGETS.items()]
    tell.table("all together", ["", "measured", "target"], targets)


def _show_case(case: str, rows: Sequence[Row], tell: Narrator) -> None:
    tell.chapter(f"{case}: rolled back %; then the canary's requests, seconds; bad answers served")
    peers = [peer.name for peer in PEERS]
    heads = [f"{p} shipped" for p in peers] + [f"{p} tuned" for p in peers]
    heads += [f"ours/{p}" for p in peers]
    tell.plain(_line("users  req/s  hours", ["back", "requests", "seconds", "bad", *heads]))
    for row in rows:
        traffic = f"{row.users:5}  {row.rate:5}  {SECONDS[row.rate] / 3600:5.3g}"
        ours = [f"{100 * row.rolled_back:.1f}", _number(row.requests), _number(row.seconds)]
        theirs = [_peer(row.shipped.get(p)) for p in peers]
        theirs += [_peer(row.tuned.get(p)) for p in peers]
        ratios = [_ratio(row.ratio(p)) for p in peers]
        tell.plain(_line(traffic, [*ours, f"{row.bad:.1f}", *theirs, *ratios]))


def _line(first: str, cells: Sequence[str]) -> str:
    widths = [6, 8, 8, 7, 15, 15, 15, 15, 12, 9]
    return first.ljust(20) + " ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _peer(value: tuple[float, float] | None) -> str:
    return "-" if value is None else f"{100 * value[0]:.1f} % {value[1]:.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def is_good(found: dict[str, Any]) -> bool:
    return all(found[key] <= most for key, most in _TARGETS.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every target is met."""
    options = _parser().parse_args(arguments)
    tell = Narrator()
    tell.say(f"simulates {options.rollouts} rollouts of each kind, seed {options.seed}")
    work = (USERS, *([n] * len(USERS) for n in (options.rollouts, options.seed, options.requests)))
    if options.jobs == 1:
        parts = list(map(simulate_users, *work))
    else:
        with ProcessPoolExecutor(options.jobs) as pool:
            parts = list(pool.map(simulate_users, *work))
    found = numbers(dict(zip(USERS, parts, strict=True)), options.rollouts, options.seed)
    show(found, [row for part in parts for row in part["rows"]], tell)
    print(json.dumps(found))
    return 0 if is_good(found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verdict", description=__doc__)
    add = parser.add_argument
    add("--rollouts", type=int, default=2000, help="of each kind")
    add("--seed", type=int, default=1)
    add("--requests", type=int, default=REQUESTS, help="of a rollout at most")
    add("--jobs", type=int, default=1, help="processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
