"""A rollback that cannot be written down yet: it moves traffic, which is memory, and nothing else.

Nodes stay as the saved state wants them, so that the next controller finds whatever it goes on
with (docs/decisions/0023-a-rollback-that-waits-for-room.md)."""

from __future__ import annotations

from dataclasses import replace

from controller.core.desired import Desired
from controller.core.routing import BACKUP_GROUP, Routing


def all_on(wanted: Desired, version: str) -> Desired:
    """`wanted`, with all traffic on `version`, where it has nodes to take it."""
    now = wanted.routing
    if version not in wanted.membership.group_names():
        version = now.stable  # its backup, or whoever serves in its place
    only = Routing(version, sticky=now.sticky, known_healthy=now.known_healthy)
    if version == now.stable:  # else the backup has the version that is left
        only = replace(only, batches=now.batches)
    return replace(wanted, routing=only)


def words(version: str, routing: Routing | None, problem: str, written: bool) -> str:
    """What became of a rollback to `version`, now that the router serves by `routing`.
    `written`: the command is, and only what it changes is not."""
    traffic = _traffic(version, routing)
    if written:
        once = "the rollback is accepted, and carried out once the state is written"
        return f"{traffic}; {once}: {problem}"
    return (
        f"{traffic}; the rollback is not written down: {problem}. This controller keeps it so, and "
        f"carries it out once the state is written; if it ends before, the next one goes on as "
        f"before, and `rollback` is to be run again"
    )


def _traffic(version: str, routing: Routing | None) -> str:
    if routing is not None and routing.canary is None and routing.stable == version:
        return f"all traffic is on {version}"
    if routing is not None and routing.canary is None and routing.stable == BACKUP_GROUP:
        return "all traffic is on the backup, which serves for stable"
    return f"traffic stays where it is: no node of {version} is ready, or nginx does not answer"
