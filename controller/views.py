"""What a person sees in the terminal. Pure text from the API's answers."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final

from controller.core.rollout import ENDED
from controller.evaluation_table import table
from controller.failover_view import failover

NO_ROLLOUT: Final = "no rollout yet: `rollout start VERSION --percent 5` begins one"
_SIGNS: Final = {"pass": "✔", "fail": "✘", "inconclusive": "?"}


def status(value: dict[str, Any]) -> str:
    """Router, pools and rollout as a tree."""
    router, share = value["router"], value["router"]["percent"]
    lines = [f"{value['service']} ({value['runtime']} runtime), router {router['url']}"]
    if value["alarm"]:
        lines.append(f"! {value['alarm']}")
    if router["failed_over"]:
        lines.append("! failed over: the backup serves all traffic of stable")
    lines += failover(value.get("failover"))
    lines += _spool(value.get("spool"))
    shares = ", ".join(f"{pool} {percent:g} %" for pool, percent in share.items())
    lines.append(f"traffic: {shares}{_actual(router['traffic'])}")
    if value["rollout"] is not None and _asks(value["rollout"]):
        lines.append(
            f"consent required: nobody is chosen at random; rules and {router['url']}/canary "
            f"decided {router['traffic']['opted_in']} requests"
        )
    for name, pool in value["pools"].items():
        lines += _pool(name, pool)
    lines += _leaving(value.get("leaving", []))
    return "\n".join([*lines, *rollout(value["rollout"])])


def _spool(spool: dict[str, Any] | None) -> list[str]:
    """Of requests that no node could serve; nothing where none wait."""
    if not spool or not spool["waiting"]:
        return []
    oldest = f"the oldest for {spool['oldest_seconds']:.0f} s"
    return [f"! requests that wait until a node can serve: {spool['waiting']}, {oldest}"]


def _actual(traffic: dict[str, Any]) -> str:
    actual = traffic["canary_percent_actual"]
    if actual is None:
        return ""
    warning = f"; {traffic['warning']}" if traffic["warning"] else ""
    return f" (canary got {actual:g} % of {traffic['requests']} requests{warning})"


def _asks(rollout: dict[str, Any]) -> bool:
    return rollout["consent"] == "required" and rollout["phase"] not in ENDED


def _leaving(nodes: Sequence[dict[str, Any]]) -> list[str]:
    if not nodes:
        return []
    lines = [f"  {node['name']:<16} {node['version']}" for node in nodes]
    return ["leaving, when their last requests, streams and batches have ended", *lines]


def _pool(name: str, pool: dict[str, Any]) -> list[str]:
    if not pool["nodes"]:
        return []
    digest = f" {pool['digest'][:12]}" if pool["digest"] else ""
    lines = [f"{name} {pool['version']}{digest}"]
    for node in pool["nodes"]:
        reason = f" ({node['reason']})" if node["reason"] else ""
        place = f"  {node['device']}  {node['url']}" if node["url"] else ""
        lines.append(f"  {node['name']:<16} {node['health']}{reason}{place}")
    return lines


def rollout(value: dict[str, Any] | None) -> list[str]:
    if value is None:
        return [NO_ROLLOUT]
    lines = [rollout_line(value), f"  next: {value['next_action']}"]
    if heard := value.get("copies"):
        lines.append(f"  {copies(heard)}")
    return lines + [verdict(v) for v in value["verdicts"]]


def copies(value: dict[str, Any]) -> str:
    """What both versions heard of the same requests."""
    if not value["pairs"]:
        return "copies: no request was heard by both versions yet"
    texts, by_value = value["texts"], value["texts_by_value"]
    return (
        f"copies: {value['pairs']:,} requests of {value['keys']:,} users were heard by both; "
        f"{100 * texts['rate']:.1f} % of the texts differ ({100 * by_value['rate']:.1f} % with "
        f"numbers by value), {100 * value['tokens']['rate']:.2f} % of the tokens"
    )


def rollout_line(value: dict[str, Any]) -> str:
    return (
        f"rollout {value['id']}: {value['from_version']} → {value['version']}, plan "
        f"{value['plan']}, step {value['step']} of {len(value['steps'])}{_share(value)}, "
        f"{value['phase']}: {value['reason']}"
    )


def _share(rollout: dict[str, Any]) -> str:
    """The canary's; after the end there is none, and its phase says who has all."""
    if rollout["phase"] in ENDED:
        return ""
    share = ", only who opted in" if _asks(rollout) else f", {rollout['percent']:g} %"
    return share + (f", copies of {rollout['shadow']:g} %" if rollout.get("shadow") else "")


def verdict(value: dict[str, Any]) -> str:
    """`digits  CER 4.81 → 4.62  Δ -0.19 [-0.31, -0.07]  n=500  ✔`, rates in percent."""
    low, high = (100 * end for end in value["interval"])
    if _is_of_copies(value):
        return (
            f"  {value['gate']:<24} {100 * value['canary']:.2f} % differ [{low:.2f}, {high:.2f}]  "
            f"n={value['samples']}  {_SIGNS[value['verdict']]} {value['verdict']}"
        )
    return (
        f"  {value['gate']:<24} {100 * value['stable']:.2f} → {100 * value['canary']:.2f}  "
        f"Δ {100 * value['difference']:+.2f} [{low:+.2f}, {high:+.2f}]  n={value['samples']}  "
        f"{_SIGNS[value['verdict']]} {value['verdict']}"
    )


def _is_of_copies(verdict: dict[str, Any]) -> bool:
    """Both versions heard the same requests of users: there is one rate, of their disagreement."""
    return verdict.get("measure") is not None and verdict.get("keys") is not None


def versions(value: Sequence[dict[str, Any]]) -> str:
    lines = []
    for version in value:
        marks = [mark for mark in ("stable", "bad") if version[mark]]
        digest = (version["digest"] or "not loaded")[:12]
        lines.append(f"{version['name']:<16} {digest}  {version['models']['model']}"
                     f"{'  ' + ', '.join(marks) if marks else ''}")  # fmt: skip
    return "\n".join(lines)


def history(value: Sequence[dict[str, Any]]) -> str:
    if not value:
        return NO_ROLLOUT
    lines = [
        f"{_clock(item['created_at'])}  {item['phase']:<12} {item['from_version']} → "
        f"{item['version']}  {item['id']}  by {item['actor']}: {item['reason']}"
        for item in value
    ]
    return "\n".join([*lines, "`rollout report ID` has all that happened, and on which numbers"])


def events(value: Sequence[dict[str, Any]]) -> str:
    return "\n".join(
        f"{_clock(item['at'])}  {item['kind']:<24} {item['subject']}  {item['message']} "
        f"({item['actor']})"
        for item in value
    )


def notifications(value: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'✘' if item['problem'] else '✔'} {item['target']}  {', '.join(item['events'])}"
        f"{'  ' + item['problem'] if item['problem'] else ''}"
        for item in value
    ]
    return "\n".join(lines) or "fleet.yaml has no notifications"


def _clock(iso: str) -> str:
    return datetime.datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def evaluation(value: dict[str, Any]) -> str:
    """Error rates side by side, then the worst utterances in columns."""
    lines = table(value)
    for item in value.get("differences", []):
        low, high = (100 * end for end in item["interval"])
        lines.append(f"{item['gate']:<25} Δ {100 * item['difference']:+.2f} points "
                     f"[{low:+.2f}, {high:+.2f}]")  # fmt: skip
    names = ["reference", *(item["version"] for item in value["versions"])]
    for item in value["worst"]:
        lines.append(f"\n{item['eval_set']} {item['key']}: {item['more_errors']} more errors")
        lines += [f"  {n:<12} {line}" for n, line in zip(names, item["aligned"], strict=True)]
    return "\n".join(lines)


def doctor(value: Sequence[dict[str, Any]]) -> str:
    lines = []
    for finding in value:
        lines.append(f"{'✔' if finding['ok'] else '✘'} {finding['what']}")
        if finding["remedy"] and not finding["ok"]:
            lines.append(f"    → {finding['remedy']}")
    return "\n".join(lines)
