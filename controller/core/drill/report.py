"""What became of a drill: the numbers, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from controller.core.drill.catalogue import Bounds, Drill, Tolerance
from controller.core.drill.measures import (
    ACCEPTED,
    REFUSED,
    Observations,
    Sent,
    errors_of,
    noticed_by_probe,
    noticed_by_retry,
    of_others,
    recovered,
    retried,
    streams_cut,
    switched,
)


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # something that must stay true did not, or not in time
    STOPPED = "stopped"  # by itself, because users suffered, or by somebody
    REFUSED = "refused"  # nothing was broken
    INTERRUPTED = "interrupted"  # its process died; the next one to look restored


@dataclass(frozen=True, slots=True)
class Numbers:
    """Lengths in seconds, since the fault where they are of something that follows it; None:
    did not happen, or nobody had to. Counts are of requests: `requests`, `failed` (of which the
    promise allows `failed_allowed`), `retried` and `slowest_seconds` of the drill's own load,
    `requests_logged` what the router counted of it, `users_…` of all others since the steady
    state began. `backup_error_rate` is a ratio of characters."""

    requests: int = 0
    requests_logged: int = 0
    failed: int = 0
    failed_allowed: int = 0
    refused: int = 0
    retried: int = 0
    slowest_seconds: float | None = None
    slowest_before_seconds: float | None = None
    detection_seconds: float | None = None
    retry_seconds: float | None = None
    probe_seconds: float | None = None
    switch_seconds: float | None = None
    recovery_seconds: float | None = None
    streams_cut: int = 0
    users_requests: int = 0
    users_failed: int = 0
    backup_requests: int = 0
    backup_error_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`…_at` in ISO 8601, UTC. `reasons` are sentences: why it did not pass."""

    id: str
    drill: str
    actor: str
    runtime: str
    began_at: str
    ended_at: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    fault_at: str | None = None
    hit: tuple[str, ...] = ()
    eval_set: str = ""
    clients: int = 0
    restored: bool = True
    numbers: Numbers = Numbers()
    bounds: Bounds | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": self.outcome.value}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Report:
        """Raises TypeError, KeyError or ValueError where it is none."""
        known = {field.name for field in fields(cls)}
        if unknown := value.keys() - known:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        bounds = value.get("bounds")
        return cls(
            **dict(value)
            | {
                "outcome": Outcome(value["outcome"]),
                "reasons": tuple(value["reasons"]),
                "hit": tuple(value["hit"]),
                "numbers": Numbers(**value["numbers"]),
                "bounds": Bounds(**bounds) if bounds is not None else None,
            }
        )


def numbers_of(
    drill: Drill,
    bounds: Bounds,
    seen: Observations,
    prefix: str,
    backup: Iterable[str],
    references: Mapping[str, str],
) -> Numbers:
    """`prefix` is that of the drill's own request ids, `backup` the names of backup nodes,
    `references` what is said in the clips."""
    own = frozenset(sent.request_id for sent in seen.sent)
    users = of_others(seen.logged, prefix)
    nodes = frozenset(backup)
    errors = errors_of(seen.sent, nodes, references)
    failed = len(failures(drill, bounds, seen, strictly=True))
    retry, probe = noticed_by_retry(seen), noticed_by_probe(seen)
    return Numbers(
        requests=len(seen.sent),
        requests_logged=sum(r.request_id in own for r in seen.logged),
        failed=failed,
        failed_allowed=failed - len(failures(drill, bounds, seen)),
        refused=sum(sent.status in {ACCEPTED, REFUSED} for sent in seen.sent),
        retried=retried(seen.logged, own),
        slowest_seconds=_slowest(s for s in seen.sent if s.ended >= seen.fault_at),
        slowest_before_seconds=_slowest(s for s in seen.sent if s.ended < seen.fault_at),
        detection_seconds=min((s for s in (retry, probe) if s is not None), default=None),
        retry_seconds=retry,
        probe_seconds=probe,
        switch_seconds=switched(seen),
        recovery_seconds=recovered(seen, drill.is_noticed),
        streams_cut=streams_cut(seen, bounds.recover),
        users_requests=len(users),
        users_failed=sum(request.failed for request in users),
        backup_requests=sum(sent.node in nodes for sent in seen.sent if sent.answered),
        backup_error_rate=errors.rate if errors.length else None,
    )


def _slowest(sent: Iterable[Sent]) -> float | None:
    return max((request.seconds for request in sent if request.answered), default=None)


def failures(
    drill: Drill, bounds: Bounds, seen: Observations, strictly: bool = False
) -> tuple[Sent, ...]:
    """The own requests without a transcript; unless `strictly`, those less which the drill's
    promise leaves out."""
    lost = (sent for sent in seen.sent if not sent.answered)
    return tuple(s for s in lost if strictly or not _tolerated(drill, bounds, seen.fault_at, s))


def _tolerated(drill: Drill, bounds: Bounds, fault_at: float, sent: Sent) -> bool:
    match drill.tolerance:
        case Tolerance.NONE:
            return False
        case Tolerance.IN_FLIGHT:
            return sent.began < fault_at + bounds.switch and sent.ended >= fault_at
        case Tolerance.REFUSED:
            return sent.status in {ACCEPTED, REFUSED} and sent.ended >= fault_at


def judge(drill: Drill, bounds: Bounds, seen: Observations, found: Numbers) -> tuple[str, ...]:
    """What must stay true and did not, in words; nothing where the drill passed."""
    reasons = []
    if lost := failures(drill, bounds, seen):
        first = min(lost, key=lambda sent: sent.began)
        what = first.error or f"status {first.status}"
        reasons.append(
            f"{len(lost)} of {found.requests} requests failed that should not have, the first "
            f"{first.began - seen.fault_at:+.1f} s from the fault: {first.request_id}: {what}"
        )
    for what, took, bound in (
        ("it was noticed", found.detection_seconds, bounds.detect),
        ("requests were answered again", found.switch_seconds, bounds.switch),
        ("all was as before", found.recovery_seconds, bounds.recover),
    ):
        if bound is not None and (took is None or took > bound):
            after = "not at all" if took is None else f"only after {took:.1f} s"
            reasons.append(f"{what} {after}; the bound is {bound:g} s")
    return tuple(reasons)


def suffering(
    drill: Drill, bounds: Bounds, seen: Observations, prefix: str, began: float
) -> str | None:
    """Why the drill must stop this moment: requests of users fail that would not have before
    the fault (`began` is when the steady state did), or its own that must not; None: go on."""
    if lost := failures(drill, bounds, seen):
        return f"{len(lost)} of its own requests failed ({lost[0].error or lost[0].status})"
    if drill.tolerance is not Tolerance.NONE:
        return None
    users = of_others(seen.logged, prefix)
    before = [r.failed for r in users if began <= r.ended < seen.fault_at]
    after = [r.failed for r in users if r.ended >= seen.fault_at]
    usual = sum(before) / len(before) if before else 0.0
    if after and sum(after) / len(after) > usual + _MORE_FAILURES:
        return f"{sum(after)} of {len(after)} requests of users failed since the fault"
    return None


_MORE_FAILURES = 0.01  # a ratio: a user's request may fail for a reason of its own
