"""What comparing with a baseline costs: `.venv/bin/python benchmarks/baseline.py`.

Rollouts are simulated with users who differ (rollouts_simulated/traffic.py), 5 % of them on
the canary; failed requests are judged once against all of stable, once against a baseline with
another 5 %. About a quarter of an hour on one core for 500 rollouts; `--jobs 2` uses two."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

if __name__ == "__main__":  # as a script: packages are found from the repository's root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from benchmarks.narrator import Narrator
from benchmarks.rollouts_simulated.traffic import SHARE, Chunk, Fault, Traffic
from controller.core.live.event_test import EventTest
from controller.core.live.gate import FAIL_BUDGET, Kind

USERS: Final = (40, 400, 4000)
AGAINST: Final = ("stable", "baseline")
FAULTS: Final = {"equal": Fault(), "+2 % errors": Fault(1 - 0.97 / 0.99)}
FALSE_ROLLBACK_RATE: Final = 0.01  # at most
_SURE: Final = math.log(1 / FAIL_BUDGET[Kind.SUCCESS])


@dataclass(frozen=True, slots=True)
class Row:
    """`rolled_back`: the share of rollouts (ratio); `requests`: the canary's until then, mean."""

    users: int
    case: str
    against: str
    rolled_back: float
    requests: float | None


def simulate(users: int, case: str, against: str, rollouts: int, seed: int, requests: int) -> Row:
    """`requests` of each rollout, the same whoever the canary is compared with."""
    rng = np.random.default_rng([seed, users])
    traffic = Traffic(rng, rollouts, users, FAULTS[case], seconds=False)
    compared = traffic.is_canary.copy()
    if against == "stable":
        compared[:] = True
    else:
        draw = np.random.default_rng([seed, users, 1]).random(len(compared))
        compared |= draw < SHARE / (1 - SHARE)
    tests = {row: EventTest(margin=0.01) for row in range(rollouts)}
    found: list[int] = []
    while traffic.made < requests and tests:
        chunk = traffic.next()
        is_compared = compared[chunk.key]
        for row, test in list(tests.items()):
            _feed(test, chunk, is_compared[row].tolist(), row)
            if test.worse >= _SURE:
                found.append(tests.pop(row).canary.requests)
    mean = sum(found) / len(found) if found else None
    return Row(users, case, against, len(found) / rollouts, mean)


def _feed(test: EventTest, chunk: Chunk, is_compared: list[bool], row: int) -> None:
    columns = (chunk.key[row].tolist(), chunk.canary[row].tolist(), chunk.failed[row].tolist())
    for key, canary, failed, counts in zip(*columns, is_compared, strict=True):
        if counts:
            test.observe(canary, str(key), failed)
        else:
            test.learn(str(key), failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when equal versions are sent home no more often than they may be."""
    options = _parser().parse_args(arguments)
    tell = Narrator()
    tell.say(f"simulates {options.rollouts} rollouts of each kind, seed {options.seed}")
    kinds = list(zip(*itertools.product(USERS, FAULTS, AGAINST), strict=True))
    given = (options.rollouts, options.seed, options.requests)
    work = (*kinds, *([n] * len(kinds[0]) for n in given))
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(simulate, *work))
    cells = [
        (f"{row.users:,}", row.case, row.against, f"{100 * row.rolled_back:.1f} %",
         "-" if row.requests is None else f"{row.requests:,.0f}")
        for row in rows
    ]  # fmt: skip
    header = ("users", "canary", "compared with", "rolled back", "its requests until then")
    tell.table(f"{options.requests:,} requests a rollout, {100 * SHARE:g} % each", header, cells)
    false = max(row.rolled_back for row in rows if row.case == "equal")
    print(json.dumps({"false_rollback_rate": false, "rows": [asdict(row) for row in rows]}))
    return 0 if false <= FALSE_ROLLBACK_RATE else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="baseline", description=__doc__)
    add = parser.add_argument
    add("--rollouts", type=int, default=500, help="of each kind")
    add("--seed", type=int, default=1)
    add("--requests", type=int, default=36_000, help="of a rollout at most")
    add("--jobs", type=int, default=1, help="processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
