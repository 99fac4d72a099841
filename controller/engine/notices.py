"""What a person is told of an event: what happened, on which numbers, what to do next.

Pure. Events that concern nobody at the moment they happen have no notice."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.core.notification import Language, Topic
from controller.core.rollout import Phase
from controller.engine.notice_words import (
    DRILL_WORDS,
    FLEET_WORDS,
    GATE_LINES,
    OUTCOMES,
    PHASE_WORDS,
    REASON,
    SHARES,
    VERDICT_WORDS,
)
from controller.engine.records import Event


@dataclass(frozen=True, slots=True)
class Notice:
    topic: Topic
    title: str
    body: str
    at: datetime.datetime
    urgent: bool = False  # users are hurt, or would have been

    @property
    def text(self) -> str:
        return f"{self.title}\n{self.body}\n({self.at:%Y-%m-%d %H:%M:%S} UTC)"


def notice(event: Event, language: Language) -> Notice | None:
    """The notice of an event; None where it is not news, or was written down by a controller of
    another version, with other data."""
    made = _MAKERS.get(event.kind)
    if made is None:
        made = _drill if event.kind.startswith("drill.") else _none
    try:
        return made(event, language)
    except (KeyError, TypeError, ValueError):
        return None


def joined(notices: Sequence[Notice], service: str) -> tuple[str, str]:
    """Title and body of one message with all of them; the newest urgent one gives the title."""
    first = next((n for n in reversed(notices) if n.urgent), notices[-1])
    more = f" (+{len(notices) - 1})" if len(notices) > 1 else ""
    if not more:
        return f"[{service}] {first.title}", first.text.partition("\n")[2]
    return f"[{service}] {first.title}{more}", "\n\n".join(n.text for n in notices)


def _none(_event: Event, _language: Language) -> None:
    return None


def _phase(event: Event, language: Language) -> Notice | None:
    data = event.data
    phase = Phase(data["phase"])
    topic = _topic(phase, data)
    if topic is None:
        return None
    title, advice = PHASE_WORDS[language][_wording(phase, data)]
    values = _values(event.subject, data, language)
    reason = f"{REASON[language]}{event.message}"
    return Notice(
        topic,
        title.format_map(values),
        f"{reason}\n{advice.format_map(values)}",
        event.at,
        urgent=topic is Topic.ROLLBACK,
    )


def _topic(phase: Phase, data: Mapping[str, Any]) -> Topic | None:
    match phase:
        case Phase.PREPARING if data.get("was") is None:
            return Topic.START
        case Phase.PREPARING if data.get("was") != Phase.PAUSED:
            return None  # the step is told when its traffic flows
        case Phase.ROLLED_BACK | Phase.ABORTED:
            return Topic.ROLLBACK
        case Phase.PROMOTED:
            return Topic.PROMOTION
        case _:
            return Topic.STEP


def _wording(phase: Phase, data: Mapping[str, Any]) -> str:
    if data.get("was") == Phase.PAUSED and phase in {Phase.PREPARING, Phase.HOLDING}:
        return "resumed"
    return phase.value


def _values(rollout_id: str, data: Mapping[str, Any], language: Language) -> dict[str, Any]:
    steps, step = data["steps"], int(data["step"])
    shadows = data.get("shadows", [0] * len(steps))  # absent where an older controller wrote it
    return {
        "id": rollout_id,
        "version": data["version"],
        "from_version": data["from_version"],
        "plan": data["plan"],
        "share": _share(data, language, data["percent"], data.get("shadow", 0)),
        "first": _share(data, language, steps[step], shadows[step]),
        "step": step + 1,
        "steps": len(steps),
    }


def _share(data: Mapping[str, Any], language: Language, percent: float, shadow: float) -> str:
    if not percent and shadow:
        return SHARES[language]["copies"].format(percent=shadow)
    return SHARES[language][data["consent"]].format(percent=percent)


_MOST_GATES: Final = 12  # those that failed come first; the report has all


def _verdict(event: Event, language: Language) -> Notice | None:
    if not _is_decision(event.data):
        return None
    verdicts = sorted(event.data["verdicts"], key=lambda v: _RANK.get(v["verdict"], 1))
    counts = {kind: sum(v["verdict"] == kind for v in verdicts) for kind in _RANK}
    values = {**counts, "version": event.data["version"], "id": event.subject}
    title, advice = VERDICT_WORDS[language]
    lines = [_gate(verdict, language) for verdict in verdicts[:_MOST_GATES]]
    left = len(verdicts) - len(lines)
    lines += [f"… +{left}"] if left else []
    return Notice(
        Topic.VERDICT,
        title.format_map(values),
        "\n".join([*lines, advice.format_map(values)]),
        event.at,
        urgent=counts["fail"] > 0,
    )


_RANK: Final = {"fail": 0, "inconclusive": 1, "pass": 2}


def _is_decision(data: Mapping[str, Any]) -> bool:
    """Not that numbers moved, nor that live traffic is too little still to tell."""
    changed = [v for v in data["verdicts"] if v["gate"] in data["changed"]]
    return any(v["verdict"] != "inconclusive" or v.get("keys") is None for v in changed)


def _gate(verdict: Mapping[str, Any], language: Language) -> str:
    """A line of numbers; what the verdict says in words stands in the report."""
    said = OUTCOMES[language].get(verdict["verdict"], verdict["verdict"])
    line = GATE_LINES[language]
    gate = verdict.get("gate", "?")
    numbers = _numbers(verdict) or verdict.get("reason", "")
    return line.format(gate=gate, said=said, numbers=numbers)


def _numbers(verdict: Mapping[str, Any]) -> str | None:
    """None where it was not measured as a rate with an interval."""
    try:
        low, high = (100 * float(end) for end in verdict["interval"])
        before, after = 100 * float(verdict["stable"]), 100 * float(verdict["canary"])
        difference = 100 * float(verdict["difference"])
    except (KeyError, TypeError, ValueError):
        return None
    if verdict.get("keys") is not None and low == high:  # of nodes: words say more
        return None
    return (
        f"{before:.2f} % → {after:.2f} %, Δ {difference:+.2f} [{low:+.2f}, {high:+.2f}], "
        f"n={verdict.get('samples', '?')}"
    )


def _fleet(event: Event, language: Language) -> Notice:
    title, advice = FLEET_WORDS[language][event.kind]
    alarm = event.kind == "fleet.alarm"
    return Notice(
        Topic.FAILOVER,
        title.format(message=event.message, subject=event.subject),
        advice,
        event.at,
        urgent=alarm,
    )


def _failover(event: Event, language: Language) -> Notice | None:
    """Where stable has no ready node the alarm says so."""
    return None if event.data["now"] == "serves" else _fleet(event, language)


def _drill(event: Event, language: Language) -> Notice:
    word = {"en": "Drill", "zh": "演练"}[language]
    urgent = event.data.get("outcome") in {"failed", "stopped", "interrupted"}
    title, advice = f"{word}: {event.message}", DRILL_WORDS[language]
    return Notice(Topic.DRILL, title, advice, event.at, urgent)


_MAKERS: Final[Mapping[str, Callable[[Event, Language], Notice | None]]] = {
    "rollout.phase_changed": _phase,
    "rollout.judged": _verdict,
    "fleet.alarm": _fleet,
    "fleet.recovered": _fleet,
    "failover.begun": _failover,
    "failover.ended": _failover,
    "backup.problem": _fleet,
    "backup.mended": _fleet,
    "node.failed": _fleet,
    "node.recovered": _fleet,
}
