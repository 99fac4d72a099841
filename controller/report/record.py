"""Everything that the store keeps of one rollout, put in order."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

from controller.core.rollout import ENDED, Phase, Rollout
from controller.core.version import Version
from controller.engine.records import Event

_TRAFFIC_ENDS: Final = {Phase.PROMOTED: 100.0, Phase.ROLLED_BACK: 0.0, Phase.ABORTED: 0.0}


@dataclass(frozen=True, slots=True)
class Span:
    """A phase: from `at` for `seconds` (None: it lasts). `percent` of the random traffic was
    asked for. `step` counts from 1."""

    phase: Phase
    step: int
    percent: float
    at: datetime.datetime
    seconds: float | None
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts of all gates at one moment, as they were written down."""

    at: datetime.datetime
    step: int
    percent: float
    verdicts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """`role` is stable or canary; `digest` is that which its nodes had to have."""

    role: str
    name: str
    digest: str | None
    version: Version | None


@dataclass(frozen=True, slots=True)
class Record:
    rollout: Rollout
    versions: tuple[VersionFacts, ...]
    spans: tuple[Span, ...]
    judgements: tuple[Judgement, ...]
    shares: tuple[Mapping[str, Any], ...]  # what the canary really got, by share asked for
    measured: Mapping[str, Any]  # eval sets and the worst utterances; empty where not kept
    events: tuple[Event, ...]
    made_at: datetime.datetime
    copies: Mapping[str, Any] | None = None  # what both versions heard of copied requests

    @property
    def ended_at(self) -> datetime.datetime | None:
        """When it first ended; a rollback may have followed its promotion."""
        return next((span.at for span in self.spans if span.phase in ENDED), None)

    @property
    def taken_back_at(self) -> datetime.datetime | None:
        """When it was rolled back after its promotion; None where it was not."""
        ends = [span.at for span in self.spans if span.phase in ENDED]
        return ends[-1] if len(ends) > 1 else None

    @property
    def reached_percent(self) -> float:
        """The largest share of the traffic that was asked for."""
        return max((span.percent for span in self.spans), default=self.rollout.reached_percent)


def report_of(
    rollout: Rollout,
    events: Sequence[Event],
    versions: Mapping[str, Version],
    digests: Mapping[str, str],
    now: datetime.datetime,
    copies: Mapping[str, Any] | None = None,
) -> Record:
    """`events` are those of the rollout's time, in order; `copies` is a shadow.overview."""
    own = [event for event in events if event.subject == rollout.id]
    return Record(
        rollout=rollout,
        versions=tuple(
            VersionFacts(role, name, digests.get(name), versions.get(name))
            for role, name in (("stable", rollout.from_version), ("canary", rollout.version))
        ),
        spans=_spans([e for e in own if e.kind == "rollout.phase_changed"]),
        judgements=_judgements(rollout, [e for e in own if e.kind == "rollout.judged"]),
        shares=_shares(own),
        measured=next((e.data for e in reversed(own) if e.kind == "gates.measured"), {}),
        events=tuple(events),
        made_at=now,
        copies=copies,
    )


def _spans(changes: Sequence[Event]) -> tuple[Span, ...]:
    ends: list[datetime.datetime | None] = [after.at for _, after in pairwise(changes)]
    return tuple(
        _span(event, end) for event, end in zip(changes, [*ends, None], strict=bool(changes))
    )


def _span(event: Event, end: datetime.datetime | None) -> Span:
    phase = Phase(event.data["phase"])
    ended = phase in ENDED and end is None
    return Span(
        phase=phase,
        step=int(event.data["step"]) + 1,
        percent=_TRAFFIC_ENDS.get(phase, float(event.data["percent"])),
        at=event.at,
        seconds=None if end is None or ended else (end - event.at).total_seconds(),
        reason=event.message,
        actor=event.actor,
    )


def _judgements(rollout: Rollout, judged: Sequence[Event]) -> tuple[Judgement, ...]:
    """Rollouts of older controllers have only the newest, in themselves."""
    if not judged and rollout.verdicts:
        verdicts = tuple(asdict(verdict) for verdict in rollout.verdicts)
        return (
            Judgement(rollout.phase_since, rollout.step + 1, rollout.reached_percent, verdicts),
        )
    return tuple(
        Judgement(
            event.at,
            int(event.data["step"]) + 1,
            float(event.data["percent"]),
            tuple(event.data["verdicts"]),
        )
        for event in judged
    )


def _shares(own: Sequence[Event]) -> tuple[Mapping[str, Any], ...]:
    """The last count of each share that was asked for."""
    counted = {t["share"]: t for event in own if (t := event.data.get("traffic"))}
    return tuple(counted[share] for share in sorted(counted))


def report_data(record: Record) -> dict[str, Any]:
    """All of it, for programs."""
    plain: dict[str, Any] = _plain(asdict(record))
    return plain


def _plain(value: Any) -> Any:
    match value:
        case datetime.datetime():
            return value.isoformat()
        case dict() | Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return value
