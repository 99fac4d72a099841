"""When the backup helps stable, and when it gives back: a pure function of what is known.

It serves alone while stable has no ready node; it shares stable's traffic while stable has too
little room, and until stable has been well for long enough. So whoever comes back from a failure
is never alone at once, and a node that fails again a second later costs nobody a request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Help(StrEnum):
    NONE = "none"  # stands by: nginx goes there only where stable's nodes fail
    SHARES = "shares"  # its nodes are among stable's
    SERVES = "serves"  # stable has no ready node


@dataclass(frozen=True, slots=True)
class FailoverRules:
    """Stable must be well for `failback_after_seconds` before the backup gives back. It has too
    little room where its load is above `full_percent` of what its nodes can do; well again it is
    below `spare_percent`. `node_seconds_per_second` is how much audio a node hears per second;
    None: as measured.

    A node that fell `falls` times within `within_seconds` is held out until it has been well for
    `hold_seconds`, twice as long each further time, at most `longest_hold_seconds`."""

    failback_after_seconds: float = 30.0
    full_percent: float = 85.0
    node_seconds_per_second: float | None = None
    falls: int = 3
    within_seconds: float = 300.0
    hold_seconds: float = 60.0
    longest_hold_seconds: float = 900.0

    @property
    def spare_percent(self) -> float:
        return 0.8 * self.full_percent


@dataclass(frozen=True, slots=True)
class Strength:
    """Stable and backup as they are. `members` take stable's traffic, of which `steady` are not
    only let in for want of better ones; `wanted` is how many there should be. `backups` are the
    backup's ready nodes, `alike` those of them with stable's version. `load` and `room` of the
    members are in seconds of audio per second; None: not known."""

    members: int
    steady: int
    wanted: int
    backups: int
    alike: int
    load: float | None = None
    room: float | None = None

    def is_above(self, percent: float) -> bool:
        """Whether the load is known to be above so much of the room."""
        known = self.load is not None and self.room is not None
        return known and 100 * (self.load or 0.0) > percent * (self.room or 0.0)


@dataclass(frozen=True, slots=True)
class Failover:
    """What the backup does for stable, since when (seconds since the epoch) and why.

    `began` is False until stable served for the first time: a fleet that comes up has nothing
    that could fail over. `well_since` is when stable became well again, while the backup helps."""

    help: Help = Help.NONE
    reason: str = ""
    since: float | None = None
    well_since: float | None = None
    began: bool = False


def follow(before: Failover, now: float, seen: Strength, rules: FailoverRules) -> Failover:
    """What the backup is to do. Pure: the same facts at the same times give the same."""
    if not before.began:
        return _coming_up(before, now, seen)
    if seen.members == 0:
        if seen.backups == 0:  # nobody to give back to, and nobody to help: as it was
            return replace(before, well_since=None)
        return _helps(before, Help.SERVES, now, "stable has no ready node")
    if seen.alike == 0:
        return _ended(before, "the backup has no ready node of stable's version")
    if before.help is Help.NONE:
        reason = _too_little(seen, rules)
        return _helps(before, Help.SHARES, now, reason) if reason else before
    well = _is_well(seen, rules)
    since = (before.well_since if before.well_since is not None else now) if well else None
    if since is not None and now - since >= rules.failback_after_seconds:
        return _ended(before, f"stable has been well for {now - since:.0f} s")
    earlier = "stable had no ready node" if before.help is Help.SERVES else before.reason
    reason = _too_little(seen, rules) or earlier
    return replace(before, help=Help.SHARES, reason=reason, well_since=since)


def _coming_up(before: Failover, now: float, seen: Strength) -> Failover:
    if seen.members > 0:
        return Failover(began=True)
    help_ = Help.SERVES if seen.backups > 0 else Help.NONE
    return replace(before, help=help_, reason="stable is coming up")


def _helps(before: Failover, help_: Help, now: float, reason: str) -> Failover:
    since = before.since if before.since is not None else now
    return Failover(help_, reason, since, None, began=True)


def _ended(before: Failover, reason: str) -> Failover:
    return before if before.help is Help.NONE else Failover(reason=reason, began=True)


def _too_little(seen: Strength, rules: FailoverRules) -> str | None:
    """Numbers are left out: who reads this later would take them for those of the moment."""
    if seen.steady == 0:
        return "each ready node of stable fell again and again"
    if seen.is_above(rules.full_percent):
        return f"stable's load is above {rules.full_percent:g} % of what its ready nodes can do"
    return None


def _is_well(seen: Strength, rules: FailoverRules) -> bool:
    """Fewer nodes than there should be are well where they are known to be enough."""
    known = seen.load is not None and seen.room is not None
    enough = seen.steady >= seen.wanted or (known and seen.steady == seen.members)
    return enough and seen.steady > 0 and not seen.is_above(rules.spare_percent)
