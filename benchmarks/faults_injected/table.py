"""The rows of benchmarks/faults.py for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.faults_injected.row import STREAMS, Row
from benchmarks.narrator import Narrator

_COLUMNS: Final = ("requests", "failed", "refused", "retried", "p99+ms", "slowest", "held",
                   "detect", "probe", "switch", "recovery", "flying", "cut", "wrong")  # fmt: skip
LEGEND: Final = f"""\
refused   with a 503, where that is allowed       retried  by nginx, at another node
p99+ms    added to the 99th percentile            slowest  seconds of the slowest answer
held      longest at a node that was hurt         flying   requests in flight at the fault
cut       of {STREAMS} streams                            wrong    answers that were
Seconds since the fault until
detect    nginx or the controller noticed it      probe    the controller did
switch    the routing was another                 recovery all was well again"""


def show(rows: Sequence[Row], tell: Narrator) -> None:
    """Nothing where there are none."""
    if not rows:
        return
    tell.plain(_line("fault", _COLUMNS))
    for found in rows:
        tell.plain(_line(found.fault, _cells(found)))
    tell.plain(LEGEND)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<18}" + "".join(f"{cell:>9}" for cell in cells)


def _cells(found: Row) -> list[str]:
    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    counts = (found.requests, found.failed, found.refused, found.retried)
    times = (found.slowest_seconds, found.held_seconds, found.detect_seconds,
             found.probe_seconds, found.switch_seconds, found.recover_seconds)  # fmt: skip
    return [
        *map(str, counts), f"{found.added_p99_ms:+.0f}", *map(seconds, times),
        str(found.in_flight_at_fault), str(found.streams_cut), str(found.wrong),
    ]  # fmt: skip
