"""Drills as a person sees them."""

from __future__ import annotations

from typing import Any

Groups = dict[tuple[str, str], list[dict[str, Any]]]  # reports by drill and month


def catalogue(drills: list[dict[str, Any]]) -> str:
    """What there is, when, and whether it may be done now."""
    return "\n".join(line for drill in drills for line in _drill(drill))


def _drill(drill: dict[str, Any]) -> list[str]:
    lines = [f"{drill['drill']:<16} {drill['does']}", f"{'':<16} {drill['promise']}"]
    lines += [f"{'':<16} {_when(entry)}" for entry in drill["schedule"]]
    if drill["running"]:
        lines.append(f"{'':<16} under way")
    else:
        lines += [f"{'':<16} not now: {reason}" for reason in drill["objections"]]
    return lines


def _when(entry: dict[str, Any]) -> str:
    window = f", window {entry['window']}" if entry["window"] else ""
    return f"cron {entry['cron']} ({entry['timezone']}{window}), next {entry['next']}"


def plan(found: dict[str, Any]) -> str:
    """What would happen."""
    bounds, options = found["bounds"], found["options"]
    detect = f"noticed within {bounds['detect']:g} s, " if bounds["detect"] is not None else ""
    return "\n".join([
        found["message"],
        f"  does     {found['does']}",
        f"  promise  {found['promise']}",
        f"  hits     {', '.join(found['hit']) or 'no node'}",
        f"  load     {options['clients']} clients, from {options['steady_seconds']:g} s before "
        f"the fault to {options['calm_seconds']:g} s after the recovery",
        f"  bounds   {detect}answered again within {bounds['switch']:g} s, all as before within "
        f"{bounds['recover']:g} s",
    ])  # fmt: skip


def ended(report: dict[str, Any]) -> str:
    """One drill, in a few lines."""
    n = report["numbers"]
    lines = [f"{report['drill']}: {report['outcome']} ({report['id']})"]
    lines += [f"  ! {reason}" for reason in report["reasons"]]
    if report["fault_at"] is not None:
        lines += [
            f"  {n['requests']} requests, {_failed(n)}, {n['retried']} retried, slowest "
            f"{_seconds(n['slowest_seconds'])} (before: {_seconds(n['slowest_before_seconds'])})",
            f"  noticed {_seconds(n['detection_seconds'])}, answered again "
            f"{_seconds(n['switch_seconds'])}, all as before {_seconds(n['recovery_seconds'])}",
            f"  users: {n['users_requests']} requests, {n['users_failed']} failed; streams cut: "
            f"{n['streams_cut']}; answered by the backup: {n['backup_requests']}",
        ]
    return "\n".join(lines)


def history(reports: list[dict[str, Any]], most_lines: int, most: int) -> str:
    """Newest first, and how each drill's numbers moved from month to month; there may be more than
    the `most` that were asked for."""
    if not reports:
        return (
            "no drill has ended yet: `rollout drill list` names them and tells which is under way, "
            "`rollout drill run NAME` does one"
        )
    lines = [line for report in reports[:most_lines] for line in _lines(report)]
    cut = len(reports) >= most
    if len(reports) > most_lines:
        or_more = " or more" if cut else ""
        older = f"{len(reports) - most_lines}{or_more}"
        lines.append(f"… and {older} older ones (`--limit` shows more)")
    drill = ""
    for row in trend(reports):
        if not drill:
            of = f"of the newest {most:,}; " if cut else ""
            lines += ["", f"by month ({of}medians of those that broke something):"]
        if row["drill"] != drill:
            drill = row["drill"]
            lines.append(drill)
        lines.append(_month(row))
    return "\n".join(lines)


def trend(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each drill and month: how many passed, and the medians; of each the newest month first."""
    groups: Groups = {}
    for report in reports:
        if report["fault_at"] is not None:
            key = report["drill"], report["began_at"][:7]
            groups.setdefault(key, []).append(report)
    return [
        {
            "month": month,
            "drill": drill,
            "drills": len(found),
            "passed": sum(report["outcome"] == "passed" for report in found),
            "failed": sum(report["numbers"]["failed"] for report in found),
            "failed_allowed": sum(report["numbers"].get("failed_allowed", 0) for report in found),
            **{name: _median(found, name) for name in _TRENDS},
        }
        for (drill, month), found in _ordered(groups)
    ]


def _ordered(groups: Groups) -> list[tuple[tuple[str, str], list[dict[str, Any]]]]:
    newest_first = sorted(groups.items(), key=lambda group: group[0][1], reverse=True)
    return sorted(newest_first, key=lambda group: group[0][0])


_TRENDS = ("detection_seconds", "switch_seconds", "recovery_seconds")


def _median(reports: list[dict[str, Any]], name: str) -> float | None:
    values = sorted(r["numbers"][name] for r in reports if r["numbers"][name] is not None)
    if not values:
        return None
    middle = len(values) // 2
    return float(values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2)


def _lines(report: dict[str, Any]) -> list[str]:
    """The id first: `rollout drill report` asks for it."""
    numbers, at = report["numbers"], report["began_at"]
    felt = ""
    if report["fault_at"] is not None:
        felt = (
            f"{numbers['requests']} requests, {_failed(numbers)}, noticed "
            f"{_seconds(numbers['detection_seconds'])}, as before "
            f"{_seconds(numbers['recovery_seconds'])}"
        )
    first = f"{at[:10]} {at[11:16]}  {report['id']:<34} {report['outcome']:<12} {felt}".rstrip()
    return [first, *(f"{'':<18}! {reason}" for reason in report["reasons"][:1])]


def _month(row: dict[str, Any]) -> str:
    return (
        f"  {row['month']}  {row['passed']} of {row['drills']} passed, {_failed(row)}; noticed "
        f"{_seconds(row['detection_seconds'])}, answered again {_seconds(row['switch_seconds'])}, "
        f"as before {_seconds(row['recovery_seconds'])}"
    )


def _failed(numbers: dict[str, Any]) -> str:
    allowed = numbers.get("failed_allowed", 0)  # an older controller does not say
    return f"{numbers['failed']} failed" + (f" ({allowed} of them may)" if allowed else "")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"
