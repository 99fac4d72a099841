"""One row of benchmarks/faults.py: what users felt of a fault, and when who noticed it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.faults_injected.catalogue import Fault
from benchmarks.faults_injected.timeline import Sample, first_noticed, first_switched, recovered
from benchmarks.fleet import Runtime
from benchmarks.records import Record, percentile
from controller.adapters.nginx.access_log import Request

STREAMS: Final = 4  # that are open when it happens
_AT_LEAST_SECONDS: Final = 10.0  # after a fault that nobody noticed, these count as its time


@dataclass(frozen=True, slots=True)
class Row:
    """Times in seconds since the fault; None where there was nothing to notice, switch or
    recover from, or it never happened. `failed`: neither answered nor, where that is allowed,
    `refused` with a 503. `held_seconds`: the longest that a request stayed at a node, from
    the fault on, before it was tried elsewhere. `slowest_seconds`: the longest answer since."""

    fault: str
    runtime: Runtime
    requests: int
    failed: int
    refused: int
    retried: int
    added_p99_ms: float
    slowest_seconds: float
    detect_seconds: float | None
    probe_seconds: float | None
    held_seconds: float | None
    switch_seconds: float | None
    recover_seconds: float | None
    in_flight_at_fault: int
    streams_cut: int
    wrong: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was noted of one fault, from before it until after. `served_again`: when the router
    took new connections again, where that was watched. `done`: until when the fault was on its
    way, where that takes a while."""

    began: float
    records: Sequence[Record]
    samples: Sequence[Sample]
    log: Sequence[Request]
    streams_cut: int = 0
    served_again: float | None = None
    done: float = 0.0


def row(fault: Fault, runtime: Runtime, seen: Seen) -> Row:
    began = seen.began
    probe = first_noticed(seen.samples, began, fault.targets)
    again = recovered(seen.samples, began)
    retries = [(at, min(held, at - began)) for at, held in map(_retry, seen.log) if at > began]
    noticed = [at for at in (probe, *(at for at, _ in retries)) if at is not None]
    switched = seen.served_again or first_switched(seen.samples, began)
    failed = [r for r in seen.records if not r.ok]
    refused = [r for r in failed if r.status == 503 and fault.may_refuse]
    steady = [r.seconds for r in seen.records if r.ok and r.end < began]
    until = max(again or 0.0, began + _AT_LEAST_SECONDS)
    since = [r.seconds for r in seen.records if r.ok and r.end >= began and r.start < until]
    return Row(
        fault=fault.name,
        runtime=runtime,
        requests=len(seen.records),
        failed=len(failed) - len(refused),
        refused=len(refused),
        retried=len(retries),
        added_p99_ms=round(1000 * (percentile(since, 99) - percentile(steady, 99)), 1),
        slowest_seconds=round(max(since, default=0.0), 3),
        detect_seconds=_after(began, min(noticed, default=None)),
        probe_seconds=_after(began, probe),
        held_seconds=round(max(held for _, held in retries), 3) if retries else None,
        switch_seconds=_after(began, switched),
        recover_seconds=_after(began, again),
        in_flight_at_fault=sum(
            r.start < max(began, seen.done) and began <= r.end for r in seen.records
        ),
        streams_cut=seen.streams_cut,
        wrong=_wrong(fault, seen, probe) if fault.mishears else 0,
        errors=tuple(_words(r, began) for r in failed if r not in refused),
    )


def _wrong(fault: Fault, seen: Seen, noticed: float | None) -> int:
    """The answers of the targets from the fault on, of requests sent before it was noticed."""
    until = noticed if noticed is not None else math.inf
    theirs = (r for r in seen.records if r.ok and r.node in fault.targets)
    return sum(r.end >= seen.began and r.start < until for r in theirs)


def shortcomings(fault: Fault, found: Row) -> list[str]:
    """Which targets it misses, in words."""
    missed = []
    allowed = found.in_flight_at_fault if fault.may_fail_in_flight else 0
    if found.failed > allowed:
        missed.append(f"{found.failed} failed, {allowed} may: {'; '.join(found.errors[:3])}")
    limits = (
        (fault.notice_seconds, found.held_seconds, "a request was held for"),
        (fault.probe_seconds, found.probe_seconds, "the controller noticed after"),
    )
    for limit, took, words in limits:
        if limit is not None and took is not None and took > limit:
            missed.append(f"{words} {took:.2f} s, {limit:g} s at most")
    if fault.may_fail_in_flight and (found.switch_seconds is None or found.switch_seconds > 1):
        missed.append("new connections were not served within 1 s")
    if fault.probe_seconds is not None and found.recover_seconds is None:
        missed.append("it did not recover")
    return missed


def _retry(request: Request) -> tuple[float, float]:
    """When the second attempt began (0.0: there was none), and how long the first had taken."""
    if len(request.attempts) < 2:
        return 0.0, 0.0
    first, *later = (attempt.seconds or 0.0 for attempt in request.attempts)
    return request.at - sum(later), first


def _after(began: float, at: float | None) -> float | None:
    return None if at is None else round(max(0.0, at - began), 3)


def _words(record: Record, began: float) -> str:
    what = record.error or f"status {record.status}"
    return f"{what} (sent {record.start - began:+.2f} s, ended {record.end - began:+.2f} s)"
