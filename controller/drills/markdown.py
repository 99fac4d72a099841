"""A drill's report for people."""

from __future__ import annotations

from controller.core.drill.catalogue import DRILLS
from controller.core.drill.report import Numbers, Report


def markdown(report: Report) -> str:
    """Everything in it, as Markdown."""
    drill = DRILLS.get(report.drill)
    lines = [f"# Drill {report.drill}: {report.outcome}", ""]
    if drill is not None:
        lines += [drill.does, drill.promise, ""]
    lines += [f"- {reason}" for reason in report.reasons]
    lines += [""] if report.reasons else []
    lines += [*_table(_facts(report)), "", *_table(_numbers(report))]
    return "\n".join(lines) + "\n"


def _facts(report: Report) -> list[tuple[str, str]]:
    return [
        ("id", report.id),
        ("asked for by", report.actor),
        ("runtime", report.runtime),
        ("began", report.began_at),
        ("fault", report.fault_at or "none"),
        ("ended", report.ended_at),
        ("hit", ", ".join(report.hit) or "no node"),
        ("load", f"{report.clients} clients, eval set {report.eval_set}; it never retries"),
        ("restored", "yes" if report.restored else "NO: the controller tries again"),
    ]


def _numbers(report: Report) -> list[tuple[str, str]]:
    n, bounds = report.numbers, report.bounds
    detect = bounds.detect if bounds is not None else None
    switch = bounds.switch if bounds is not None else None
    recover = bounds.recover if bounds is not None else None
    return [
        ("detection", _within(n.detection_seconds, detect)),
        ("… by a retry of the router", seconds(n.retry_seconds)),
        ("… by the controller", seconds(n.probe_seconds)),
        ("switch: answered again", _within(n.switch_seconds, switch)),
        ("recovery: all as before", _within(n.recovery_seconds, recover)),
        ("requests sent", f"{n.requests} ({n.requests_logged} in the router's log)"),
        ("failed", _failed(n)),
        ("refused or accepted for later", str(n.refused)),
        ("retried by the router", str(n.retried)),
        ("slowest, before the fault", seconds(n.slowest_before_seconds)),
        ("slowest, since the fault", seconds(n.slowest_seconds)),
        ("streams cut", str(n.streams_cut)),
        ("requests of users", f"{n.users_requests}, of which {n.users_failed} failed"),
        ("answered by the backup", str(n.backup_requests)),
        ("the backup's character error rate", _percent(n.backup_error_rate)),
    ]


def _failed(numbers: Numbers) -> str:
    if not numbers.failed:
        return "0"
    return f"{numbers.failed}, of which the promise allows {numbers.failed_allowed}"


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _within(value: float | None, bound: float | None) -> str:
    return seconds(value) if bound is None else f"{seconds(value)} (bound {bound:g} s)"


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:.2f} %"
