"""What a person is told of an event: what happened, on which numbers, what to do next.

Pure. Events that concern nobody at the moment they happen have no notice."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.core.notification import Language, Topic
from controller.core.rollout import Phase
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


_Words = tuple[str, str]  # title, what to do next


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
    title, advice = _PHASE_WORDS[language][_wording(phase, data)]
    values = _values(event.subject, data)
    reason = f"{_REASON[language]}{event.message}"
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


def _values(rollout_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    steps = data.get("steps") or [100.0]
    return {
        "id": rollout_id,
        "version": data["version"],
        "from_version": data.get("from_version", "?"),
        "plan": data.get("plan", "?"),
        "percent": f"{data.get('percent', 0):g}",
        "first": f"{steps[min(int(data.get('step', 0)), len(steps) - 1)]:g}",
        "step": int(data.get("step", 0)) + 1,
        "steps": len(steps),
    }


_REASON: Final[Mapping[Language, str]] = {"en": "Why: ", "zh": "原因："}
_PHASE_WORDS: Final[Mapping[Language, Mapping[str, _Words]]] = {
    "en": {
        "preparing": (
            "Rollout of {version} started (plan {plan}, {steps} steps)",
            "Next: {first} % of the traffic as soon as its nodes are ready. "
            "`rollout abort` ends it, `rollout status` shows it.",
        ),
        "holding": (
            "{version} has {percent} % of the traffic (step {step} of {steps})",
            "Next: its gates are measured. Nothing to do; `rollback` ends it at once.",
        ),
        "waiting": (
            "{version} waits for you at {percent} % (step {step} of {steps})",
            "Do: `rollout promote` goes on, `rollout abort` goes back, `rollout report {id}` "
            "shows the numbers.",
        ),
        "paused": (
            "Rollout of {version} is paused at {percent} %",
            "Do: `rollout resume` goes on, `rollout abort` goes back.",
        ),
        "resumed": (
            "Rollout of {version} goes on at {percent} % (step {step} of {steps})",
            "Nothing to do.",
        ),
        "promoted": (
            "{version} is promoted: it serves all traffic",
            "Nothing to do. `rollback` goes back to {from_version}; `rollout report {id}` says why "
            "it was promoted.",
        ),
        "rolled_back": (
            "{version} was rolled back: {from_version} serves all traffic",
            "Nothing urgent: traffic is safe. `rollout report {id}` shows the numbers.",
        ),
        "aborted": (
            "Rollout of {version} was aborted: {from_version} serves all traffic",
            "Nothing to do. `rollout report {id}` shows how far it came.",
        ),
    },
    "zh": {
        "preparing": (
            "{version} 开始发布（计划 {plan}，共 {steps} 步）",
            "接下来：节点就绪后接 {first}% 流量。`rollout abort` 结束，`rollout status` 看进展。",
        ),
        "holding": (
            "{version} 已接 {percent}% 流量（第 {step} 步，共 {steps} 步）",
            "接下来：测门禁。不用做什么；`rollback` 立即退回。",
        ),
        "waiting": (
            "{version} 停在 {percent}%，等人决定（第 {step} 步，共 {steps} 步）",
            "请决定：`rollout promote` 继续，`rollout abort` 退回，`rollout report {id}` 看数据。",
        ),
        "paused": (
            "{version} 的发布已暂停在 {percent}%",
            "请决定：`rollout resume` 继续，`rollout abort` 退回。",
        ),
        "resumed": (
            "{version} 的发布继续，比例 {percent}%（第 {step} 步，共 {steps} 步）",
            "不用做什么。",
        ),
        "promoted": (
            "{version} 已转正，承接全部流量",
            "不用做什么。`rollback` 退回 {from_version}；`rollout report {id}` 说明为什么转正。",
        ),
        "rolled_back": (
            "{version} 已回滚，{from_version} 承接全部流量",
            "不急：流量已安全。`rollout report {id}` 看数据。",
        ),
        "aborted": (
            "{version} 的发布已中止，{from_version} 承接全部流量",
            "不用做什么。`rollout report {id}` 看走到了哪里。",
        ),
    },
}

_OUTCOMES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"pass": "pass", "fail": "FAIL", "inconclusive": "undecided"},
    "zh": {"pass": "通过", "fail": "没过", "inconclusive": "说不准"},
}
_MOST_GATES: Final = 12  # those that failed come first; the report has all


def _verdict(event: Event, language: Language) -> Notice | None:
    if not _is_decision(event.data):
        return None
    verdicts = sorted(event.data["verdicts"], key=lambda v: _RANK.get(v["verdict"], 1))
    counts = {kind: sum(v["verdict"] == kind for v in verdicts) for kind in _RANK}
    values = {**counts, "version": event.data["version"], "id": event.subject}
    title, advice = _VERDICT_WORDS[language]
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
_VERDICT_WORDS: Final[Mapping[Language, _Words]] = {
    "en": (
        "Gates of {version}: {pass} passed, {fail} failed, {inconclusive} undecided",
        "`rollout report {id}` has all numbers.",
    ),
    "zh": (
        "{version} 的门禁：{pass} 项通过，{fail} 项没过，{inconclusive} 项说不准",
        "全部数据见 `rollout report {id}`。",
    ),
}


def _is_decision(data: Mapping[str, Any]) -> bool:
    """Not that numbers moved, nor that live traffic is too little still to tell."""
    changed = [v for v in data["verdicts"] if v["gate"] in data["changed"]]
    return any(v["verdict"] != "inconclusive" or v.get("keys") is None for v in changed)


def _gate(verdict: Mapping[str, Any], language: Language) -> str:
    """A line of numbers; what the verdict says in words stands in the report."""
    said = _OUTCOMES[language].get(verdict["verdict"], verdict["verdict"])
    line = _GATE_LINES[language]
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


_GATE_LINES: Final = {"en": "{gate}: {said}. {numbers}", "zh": "{gate}：{said}。{numbers}"}


_FLEET_WORDS: Final[Mapping[Language, Mapping[str, _Words]]] = {
    "en": {
        "fleet.alarm": ("Alarm: {message}", "Do: `rollout status` shows which nodes; look at it."),
        "fleet.recovered": ("Recovered: {message}", "Nothing to do."),
    },
    "zh": {
        "fleet.alarm": ("告警：{message}", "请查看：`rollout status` 列出是哪些节点。"),
        "fleet.recovered": ("已恢复：各个池都正常", "不用做什么。"),
    },
}


def _fleet(event: Event, language: Language) -> Notice:
    title, advice = _FLEET_WORDS[language][event.kind]
    alarm = event.kind == "fleet.alarm"
    return Notice(
        Topic.FAILOVER, title.format(message=event.message), advice, event.at, urgent=alarm
    )


_DRILL_WORDS: Final[Mapping[Language, str]] = {
    "en": "`rollout events` shows what was done.",
    "zh": "`rollout events` 看做了什么。",
}


def _drill(event: Event, language: Language) -> Notice:
    word = {"en": "Drill", "zh": "演练"}[language]
    return Notice(Topic.DRILL, f"{word}: {event.message}", _DRILL_WORDS[language], event.at)


_MAKERS: Final[Mapping[str, Callable[[Event, Language], Notice | None]]] = {
    "rollout.phase_changed": _phase,
    "rollout.judged": _verdict,
    "fleet.alarm": _fleet,
    "fleet.recovered": _fleet,
}
