"""Numbers, times and sentences of a report."""

from __future__ import annotations

import datetime
import unicodedata
from typing import Final

from controller.core.rollout import Phase
from controller.report.record import Record

_ENDS: Final = {
    Phase.PROMOTED: "{version} was promoted",
    Phase.ROLLED_BACK: "{version} was rolled back to {from_version}",
    Phase.ABORTED: "{version} was aborted, {from_version} stayed",
}
_CONTROLS: Final = {"Cc", "Cs", "Co", "Cn"}
_DIRECTION: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def headline(record: Record) -> str:
    """The outcome in one sentence."""
    rollout = record.rollout
    names = {"version": rollout.version, "from_version": rollout.from_version}
    if rollout.ended:
        return _ENDS[rollout.phase].format_map(names)
    return (
        f"{rollout.version} is {rollout.phase} at {rollout.percent:g} %, step {rollout.step + 1} "
        f"of {len(rollout.plan.steps)}"
    )


def course(record: Record) -> str:
    """Who, when, how far."""
    rollout, ended = record.rollout, record.ended_at
    begun = f"Started by {rollout.actor} on {moment(rollout.created_at)}"
    reached = f"It reached {record.reached_percent:g} % of the traffic."
    if rollout.plan.asks:
        reached = "Until its end only those who opted in got it."
    if ended is None:
        return f"{begun}, under way. {reached}"
    lasted = duration((ended - rollout.created_at).total_seconds())
    taken_back = record.taken_back_at
    if taken_back is None:
        return f"{begun}, ended after {lasted}. {reached}"
    later = duration((taken_back - ended).total_seconds())
    return f"{begun}, promoted after {lasted}, rolled back {later} later. {reached}"


def people(record: Record) -> str:
    """Who gave which commands: `ann: start, promote; bob: rollback`. "" where nobody did."""
    given: dict[str, list[str]] = {}
    for event in record.events:
        noun, _, command = event.kind.partition(".")
        if noun == "command" and command != "refused":
            given.setdefault(event.actor, []).append(command)
    return "; ".join(f"{actor}: {', '.join(commands)}" for actor, commands in given.items())


def moment(at: datetime.datetime) -> str:
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float | None) -> str:
    """`1 h 5 min`: the two largest units; seconds with a decimal below a minute."""
    if seconds is None:
        return "lasts"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = [(whole % above // size, name) for above, (size, name) in
             zip((1 << 62, 86400, 3600, 60), units, strict=True)]  # fmt: skip
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count)


def plain(text: object) -> str:
    """On one line, without what only terminals or the direction of writing know."""
    return "".join(
        " " if unicodedata.category(c) in _CONTROLS or c in _DIRECTION or c in "\u2028\u2029" else c
        for c in str(text)
    )
