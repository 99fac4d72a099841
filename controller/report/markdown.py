"""The report as Markdown (GitHub's)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from controller.plan_views import plan
from controller.report import copies
from controller.report.gates import GateLine, gate_line
from controller.report.record import Judgement, Record
from controller.report.words import course, duration, headline, moment, people, plain
from controller.report.worst import Case, cases

_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#|~&!@])")


def markdown(record: Record) -> str:
    """One text; everything that came from outside is escaped."""
    parts = [_head(record), _versions(record), _phases(record), _shares(record)]
    parts += [_judgement(judgement, record) for judgement in record.judgements]
    parts += [_copies(record), _worst(record), _plan(record), _events(record)]
    parts += [f"Made on {moment(record.made_at)} from what the controller keeps."]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: object) -> str:
    """On one line, with no character that Markdown would read as its own."""
    return _MARKS.sub(r"\\\1", plain(text))


def _head(record: Record) -> str:
    rollout = record.rollout
    lines = [
        f"# Rollout {escaped(rollout.id)}: {escaped(headline(record))}",
        escaped(course(record)),
        f"Why: {escaped(rollout.reason)}",
    ]
    if who := people(record):
        lines.append(f"Commands by {escaped(who)}")
    return "\n\n".join(lines)


def _versions(record: Record) -> str:
    rows = [
        (facts.role, escaped(facts.name), escaped(facts.digest or "not known"),
         escaped(facts.version.model) if facts.version else "not known",
         escaped(options(facts.version.options)) if facts.version else "")
        for facts in record.versions
    ]  # fmt: skip
    return "## Versions\n\n" + _table(("", "version", "digest", "model", "options"), rows)


def options(values: dict[str, object]) -> str:
    """`engine funasr, language zh`; what is empty is left out."""
    said = {True: "yes", False: "no"}
    given = {name: value for name, value in values.items() if value not in ([], None)}
    return ", ".join(
        f"{name} {said[value] if isinstance(value, bool) else value}"
        for name, value in given.items()
    )


def _phases(record: Record) -> str:
    rows = [
        (moment(span.at), span.phase.value, str(span.step), f"{span.percent:g} %",
         duration(span.seconds), escaped(span.actor), escaped(span.reason))
        for span in record.spans
    ]  # fmt: skip
    header = ("since", "phase", "step", "share", "for", "by", "why")
    return "## Phases\n\n" + _table(header, rows)


def _shares(record: Record) -> str:
    if not record.shares:
        return ""
    rows = [
        (f"{share['share']:g} %", actual_share(share["canary_percent_actual"]),
         *baseline_shares(record, share),
         f"{share['requests']:,}", f"{share['keys']:,}", f"{share['opted_in']:,}")
        for share in record.shares
    ]  # fmt: skip
    baseline = ("baseline got",) if record.rollout.plan.baseline else ()
    header = ("asked", "canary got", *baseline, "random requests", "users seen", "opted in")
    return "## Shares of the traffic\n\n" + _table(header, rows)


def baseline_shares(record: Record, share: Mapping[str, Any]) -> tuple[str, ...]:
    """The cell of the baseline, where the plan has one."""
    if not record.rollout.plan.baseline:
        return ()
    return (actual_share(share.get("baseline_percent_actual")),)


def actual_share(percent: float | None) -> str:
    return "no request" if percent is None else f"{percent:g} %"


def _judgement(judgement: Judgement, record: Record) -> str:
    title = f"## Gates at step {judgement.step} ({judgement.percent:g} %), {moment(judgement.at)}"
    lines = [gate_line(verdict, record.rollout.plan) for verdict in judgement.verdicts]
    header = ("gate", "", "verdict", "stable", "canary", "difference", "n")
    rows = [_gate_row(line) for line in lines]
    reasons = [f"- {escaped(line.gate)}: {escaped(line.reason)}{_more(line)}" for line in lines]
    return f"{title}\n\n{_table(header, rows)}\n\n" + "\n".join(reasons)


def _gate_row(line: GateLine) -> tuple[str, ...]:
    values = (line.stable, line.canary, line.change, line.samples)
    verdict = f"{line.sign} {line.word}"
    return (escaped(line.gate), escaped(line.kind), verdict, *map(escaped, values))


def _more(line: GateLine) -> str:
    if not line.more:
        return ""
    return " (" + escaped(", ".join(f"{name} {value}" for name, value in line.more)) + ")"


def _copies(record: Record) -> str:
    found = copies.rows(record.copies)
    if not found:
        return ""
    rows = [[escaped(cell) for cell in row] for row in found]
    return "## What both versions heard of the same requests\n\n" + _table(copies.HEADER, rows)


def _worst(record: Record) -> str:
    found = cases(record.measured)
    if not found:
        return ""
    return "## Worst utterances\n\n" + "\n\n".join(map(_case, found))


def _case(case: Case) -> str:
    """In a fence that is longer than any in the texts."""
    names = ("reference", "stable", "canary")
    body = "\n".join(f"{n:<10}{line}" for n, line in zip(names, case.lines, strict=True))
    runs = [len(run) for run in re.findall(r"`+", body)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    tags = "".join(f" #{tag}" for tag in case.tags)
    unanswered = ", no answer" if case.unanswered else ""
    title = f"{case.eval_set} {case.key}{tags}: {case.more_errors} more errors than stable"
    title += unanswered
    return f"**{escaped(title)}**\n\n{fence}\n{body}\n{fence}"


def _plan(record: Record) -> str:
    lines = plan(record.rollout.plan).splitlines()
    return "## The plan as it was\n\n" + "\n".join(f"- {escaped(line)}" for line in lines)


def _events(record: Record) -> str:
    rows = [
        (moment(event.at), escaped(event.actor), escaped(event.kind), escaped(event.message))
        for event in record.events
    ]
    return "## Events\n\n" + _table(("when", "who", "what", "why"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
