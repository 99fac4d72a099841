"""What people said, as a person sees it in the terminal. Pure text from the API's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_SHOWN: Final = 10
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NAMES: Final = {"canary": "new", "stable": "old", "same": "same", "neither": "both wrong"}


def reach(url: str) -> str | None:
    """What to know about a link that works on this machine alone; None for any other."""
    host = urlsplit(url).hostname
    if host not in _LOOPBACK:
        return None
    return (
        f"{host} is this machine alone. For others the controller must listen elsewhere "
        f"(`rollout up --host`), and the link must have this machine's name or address in place of "
        f"{host}"
    )


def pairs(value: Mapping[str, Any]) -> str:
    """Without texts: who lists them may still vote."""
    lines = [f"review of {value['rollout']}: {len(value['pairs_all'])} pairs"]
    for pair in value["pairs_all"]:
        if pair["eval_set"] is None:
            lines.append(f"{pair['pair']}  forgotten")
            continue
        why = " and ".join(kind for kind in ("worst", "random") if pair[kind])
        lines.append(
            f"{pair['pair']}  {100 * pair['disagreement']:5.1f} % differ  "
            f"{sum(pair['votes'].values()):3} votes  {why:<16} {pair['eval_set']}/{pair['key']}"
        )
    return "\n".join(lines)


def results(value: Mapping[str, Any]) -> str:
    low, high = (100 * end for end in value["interval"])
    agreement = value["agreement"]
    lines = [
        f"review of {value['rollout']}: the new version is preferred in {100 * value['share']:.1f} "
        f"% of the random sample (95 % interval {low:.1f} to {high:.1f})",
        f"  {value['votes']} votes of {value['raters']} people on {value['pairs']} of "
        f"{value['sampled']} pairs: {_counts(value['counts'])}",
        f"  agreement (Krippendorff's alpha): "
        f"{'not known' if agreement is None else format(agreement, '.2f')}",
    ]
    if value["uncounted"]:
        lines.append(
            f"  {value['uncounted']} votes are not in these numbers: on the worst pairs, which are "
            f"no random sample, and in groups that are not complete"
        )
    voted = [p for p in value["pairs_all"] if p["worst"] and sum(p["votes"].values())]
    if voted:
        lines.append("those that disagree most:")
    for pair in voted[:_SHOWN]:
        lines += [f"  {pair['eval_set']}/{pair['key']}: {_counts(pair['votes'])}"]
        lines += [
            f"    {name}: {pair[who]}" for who, name in (("stable", "old"), ("canary", "new"))
        ]
        lines += [f"    corrected: {text}" for text in pair["corrected"]]
    return "\n".join(lines)


def _counts(votes: Mapping[str, int]) -> str:
    return ", ".join(f"{_NAMES[kind]} {count}" for kind, count in votes.items())
