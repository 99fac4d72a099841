"""Changes to who is behind the router that follow from failures: of memberships alone, pure."""

from __future__ import annotations

from collections.abc import Collection

from controller.core.flapping import let_in
from controller.core.routing import BACKUP_GROUP, Group, Membership


def without_held(membership: Membership, held: Collection[str]) -> Membership:
    """Without the nodes that are held out, where a group has others."""
    return Membership(tuple(_without(group, held) for group in membership.groups))


def _without(group: Group, held: Collection[str]) -> Group:
    allowed = let_in({endpoint.node for endpoint in group.endpoints}, held)
    return Group(group.name, tuple(e for e in group.endpoints if e.node in allowed))


def shared(membership: Membership, stable: str, alike: Collection[str]) -> Membership:
    """With those nodes of the backup among stable's that are `alike`: of the same version. They
    stay the backup, too: its group is whole."""
    own, backup = membership.group(stable), membership.group(BACKUP_GROUP)
    if own is None or backup is None:
        return membership
    lent = (endpoint for endpoint in backup.endpoints if endpoint.node in alike)
    both = Group(stable, tuple(sorted({*own.endpoints, *lent})))
    return Membership(tuple(both if group is own else group for group in membership.groups))


def has_only(membership: Membership, group: str, nodes: Collection[str]) -> bool:
    """Whether a group is there, and has none but these nodes."""
    found = membership.group(group)
    return found is not None and all(endpoint.node in nodes for endpoint in found.endpoints)


def with_last_nodes(membership: Membership, stable: str, loaded: Membership | None) -> Membership:
    """Fail static, too, where others are healthy but nobody who could serve the stable traffic:
    its nodes may answer although our probes say that they do not."""
    known = membership.group_names()
    last = loaded.group(stable) if loaded is not None else None
    if last is None or stable in known or BACKUP_GROUP in known:
        return membership
    return Membership(tuple(sorted((*membership.groups, last), key=lambda group: group.name)))
