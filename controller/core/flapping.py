"""Nodes that fall again and again are held out until they have been well for longer.

A fall is a ready node that is not ready any more, whatever it was: a crash, a freeze, wrong
answers. The time that it must be well doubles each time, as the wait of a crash loop does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from controller.core.failover import FailoverRules

_FORGIVEN: Final = 10  # times its hold: a node that was well for so long begins anew


@dataclass(frozen=True, slots=True)
class Steadiness:
    """One node's. Times are seconds since the epoch. `hold_seconds` is 0 for a node that is not
    held out; `last_hold_seconds` is how long it was the last time."""

    ready: bool = False
    falls: tuple[float, ...] = ()
    well_since: float | None = None
    hold_seconds: float = 0.0
    last_hold_seconds: float = 0.0

    @property
    def held(self) -> bool:
        return self.hold_seconds > 0


def watch(
    before: Mapping[str, Steadiness], ready: Mapping[str, bool], now: float, rules: FailoverRules
) -> dict[str, Steadiness]:
    """The steadiness of all nodes that are there: whoever is not in `ready` is forgotten."""
    return {
        name: _next(before.get(name, Steadiness()), is_ready, now, rules)
        for name, is_ready in ready.items()
    }


def let_in(ready: Collection[str], held: Collection[str]) -> frozenset[str]:
    """Those of one pool's ready nodes that get traffic: a pool is never emptied by holding out."""
    return frozenset(ready) - frozenset(held) or frozenset(ready)


def _next(node: Steadiness, ready: bool, now: float, rules: FailoverRules) -> Steadiness:
    falls = tuple(at for at in node.falls if now - at < rules.within_seconds)
    if not ready:
        if node.ready:
            falls = (*falls, now)[-rules.falls :]
        node = replace(node, ready=False, falls=falls, well_since=None)
        return _held(node, rules) if len(falls) >= rules.falls and not node.held else node
    since = now if node.well_since is None else node.well_since
    node = replace(node, ready=True, falls=falls, well_since=since)
    well_for = now - since
    if node.held and well_for >= node.hold_seconds:
        return replace(node, hold_seconds=0.0, falls=())
    if well_for >= _FORGIVEN * node.last_hold_seconds:
        return replace(node, last_hold_seconds=0.0)
    return node


def _held(node: Steadiness, rules: FailoverRules) -> Steadiness:
    hold = min(max(rules.hold_seconds, 2 * node.last_hold_seconds), rules.longest_hold_seconds)
    return replace(node, hold_seconds=hold, last_hold_seconds=hold)
