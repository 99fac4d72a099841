"""Changes to who is behind the router that follow from failures: of memberships alone, pure."""

from __future__ import annotations

from collections.abc import Callable, Collection

from controller.core.flapping import let_in
from controller.core.routing import BACKUP_GROUP, Group, Membership


def without_held(membership: Membership, held: Collection[str]) -> Membership:
    """Without the nodes that are held out, where a group has others."""
    return Membership(tuple(_without(group, held) for group in membership.groups))


def _without(group: Group, held: Collection[str]) -> Group:
    allowed = let_in({endpoint.node for endpoint in group.endpoints}, held)
    return Group(group.name, tuple(e for e in group.endpoints if e.node in allowed))


def shared(membership: Membership, stable: str, is_alike: Callable[[str], bool]) -> Membership:
    """With those nodes of the backup among stable's that are alike: have stable's version. They
    stay the backup, too: its group is whole."""
    own, backup = membership.group(stable), membership.group(BACKUP_GROUP)
    if own is None or backup is None:
        return membership
    alike = tuple(endpoint for endpoint in backup.endpoints if is_alike(endpoint.node))
    both = Group(stable, tuple(sorted({*own.endpoints, *alike})))
    return Membership(tuple(both if group is own else group for group in membership.groups))
