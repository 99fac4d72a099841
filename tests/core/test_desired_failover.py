"""Who is behind the router while the backup helps, and while nodes are held out."""

from hypothesis import given
from hypothesis import strategies as st

from controller.core.desired import Desired, NodeView, desired
from controller.core.fleet import Fleet
from controller.core.rollout import Phase
from controller.core.routing import Routing
from tests.core.rollouts import NOON, a_rollout
from tests.core.test_desired import CONFIG, view

HOLDING = a_rollout(phase=Phase.HOLDING, reached_percent=5)


def plan(
    *ready: str, fleet: Fleet | None = None, shares: bool = False, held: tuple[str, ...] = ()
) -> Desired:
    views: dict[str, NodeView] = {name: view(name) for name in ready}
    return desired(
        CONFIG, fleet or Fleet("v1"), HOLDING, views, Routing("v1"), None, shares=shares, held=held
    )


def members(found: Desired, group: str) -> list[str]:
    known = found.membership.group(group)
    return [endpoint.node for endpoint in known.endpoints] if known else []


def test_a_backup_that_shares_is_among_stables_nodes_and_still_the_backup() -> None:
    found = plan("v1-1", "v1-2", "backup-v1-1", "v2-1", shares=True)
    assert members(found, "v1") == ["backup-v1-1", "v1-1", "v1-2"]
    assert members(found, "backup") == ["backup-v1-1"]
    assert members(found, "v2") == ["v2-1"]


def test_sharing_changes_no_percentage() -> None:
    names = ("v1-1", "v1-2", "backup-v1-1", "v2-1")
    assert plan(*names, shares=True).routing == plan(*names).routing


def test_a_backup_of_another_version_never_joins() -> None:
    back = Fleet("v2").promoted("v1", NOON)
    found = plan("v1-1", "backup-v2-1", fleet=back, shares=True)
    assert members(found, "v1") == ["v1-1"]
    assert members(found, "backup") == ["backup-v2-1"]


def test_a_node_that_is_held_out_gets_no_traffic() -> None:
    assert members(plan("v1-1", "v1-2", held=("v1-2",)), "v1") == ["v1-1"]


NAMES = ("v1-1", "v1-2", "backup-v1-1", "backup-v2-1", "v2-1", "v2-2")


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.booleans())
def test_no_pool_with_a_ready_node_is_empty_and_all_its_nodes_have_one_version(
    ready: set[str], held: set[str], shares: bool
) -> None:
    found = plan(*sorted(ready), shares=shares, held=tuple(held))
    for version, pool in (("v1", {"v1-1", "v1-2"}), ("v2", {"v2-1"})):
        assert bool(members(found, version)) == bool(ready & pool)
        assert all(view(name).version == version for name in members(found, version))
    assert set(members(found, "backup")) <= {"backup-v1-1", "backup-v2-1"}
    assert found.routing == plan(*sorted(ready)).routing
