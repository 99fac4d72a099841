"""What was seen during a drill, and the numbers that follow from it.

Times are in seconds since the epoch, from one machine's clock; lengths are in seconds."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.core.scoring import Errors, characters, count_edits

ANSWERED, ACCEPTED, REFUSED, SWITCHED = 200, 202, 503, 101
FIRST_FAILURE = 500


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of the drill's own load, which never retries. `status` None: no answer came
    (`error` says why). `clip` is the recording's key, `node` who answered."""

    request_id: str
    began: float
    ended: float
    status: int | None
    clip: str = ""
    node: str = ""
    text: str | None = None
    error: str = ""

    @property
    def answered(self) -> bool:
        return self.status == ANSWERED

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Attempt:
    """One node's try at a request; `seconds` None where the router does not say."""

    address: str
    status: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as the router logged it when it ended, whoever sent it."""

    request_id: str
    ended: float
    seconds: float
    status: int
    attempts: tuple[Attempt, ...]

    @property
    def failed(self) -> bool:
        return self.status >= FIRST_FAILURE


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the controller's status. `hurt`: it shows the fault (or does not answer);
    `whole`: all is as it was before."""

    at: float
    hurt: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class Observations:
    """All that a drill saw. `fault_ended` is later than `fault_at` where a fault lasts."""

    fault_at: float
    fault_ended: float
    hit: frozenset[str]  # names
    hit_addresses: frozenset[str]  # as they were at the fault
    sent: tuple[Sent, ...]
    logged: tuple[Logged, ...]
    looks: tuple[Look, ...]


def noticed_by_retry(seen: Observations) -> float | None:
    """From the fault until the router first gave up on a node that was hit, and tried another."""
    moments = [
        moment
        for request in seen.logged
        if len(request.attempts) > 1
        if (moment := _given_up(request, seen.hit_addresses)) is not None
        if request.ended >= seen.fault_at
    ]
    return max(0.0, min(moments) - seen.fault_at) if moments else None


def _given_up(request: Logged, addresses: Collection[str]) -> float | None:
    """When its first try at one of these addresses ended without an answer."""
    at = request.ended - request.seconds
    for attempt in request.attempts[:-1]:
        at += attempt.seconds or 0.0
        if attempt.address in addresses:
            return at
    return None


def noticed_by_probe(seen: Observations) -> float | None:
    """From the fault until the controller's status showed it."""
    return next((look.at - seen.fault_at for look in _after(seen) if look.hurt), None)


def switched(seen: Observations) -> float | None:
    """From the fault until the first request that was sent after it, and after the last one that
    was lost, was answered: by a node that was not hit, or that came back, for the controller knew
    by then that it had been away."""
    lost = [sent.began for sent in seen.sent if not sent.answered and sent.ended >= seen.fault_at]
    since = max(seen.fault_at, *lost) if lost else seen.fault_at
    noticed_at = next((look.at for look in _after(seen) if look.hurt), math.inf)
    ends = [
        sent.ended
        for sent in seen.sent
        if sent.answered and sent.began >= since
        if sent.node not in seen.hit or sent.began >= noticed_at
    ]
    return min(ends) - seen.fault_at if ends else None


def recovered(
    seen: Observations, must_be_noticed: bool, quiet_seconds: float = 0.0
) -> float | None:
    """From the fault until all was as before, and stayed so until the last look, for
    `quiet_seconds` at least. A look that is older than the controller's own notice tells
    nothing: `must_be_noticed` waits for that first."""
    looks = _after(seen)
    first = next((look.at for look in looks if look.hurt), None)
    if first is None and must_be_noticed:
        return None
    since = max(seen.fault_ended, first or 0.0)
    at: float | None = None
    for look in looks:
        if not look.whole:
            at = None
        elif at is None and look.at >= since:
            at = look.at
    if at is None or looks[-1].at - at < quiet_seconds:
        return None
    return at - seen.fault_at


def _after(seen: Observations) -> Sequence[Look]:
    return [look for look in seen.looks if look.at >= seen.fault_at]


def streams_cut(seen: Observations, within_seconds: float) -> int:
    """WebSocket streams at the nodes that were hit which ended when those were."""
    end = seen.fault_at + within_seconds
    return sum(
        request.status == SWITCHED
        and seen.fault_at <= request.ended <= end
        and any(attempt.address in seen.hit_addresses for attempt in request.attempts)
        for request in seen.logged
    )


def retried(logged: Iterable[Logged], own: Collection[str]) -> int:
    """How many of these requests more than one node was asked for."""
    return sum(len(r.attempts) > 1 for r in logged if r.request_id in own)


def of_others(logged: Iterable[Logged], prefix: str) -> tuple[Logged, ...]:
    """What users sent: all that does not carry the drill's own prefix."""
    return tuple(r for r in logged if not r.request_id.startswith(prefix))


def errors_of(
    sent: Iterable[Sent], nodes: Collection[str], references: Mapping[str, str]
) -> Errors:
    """Character errors of what these nodes answered, against what was said."""
    found = Errors()
    for request in sent:
        if request.answered and request.node in nodes and request.clip in references:
            said = characters(references[request.clip], "written")
            found += count_edits(said, characters(request.text or "", "written"))
    return found
