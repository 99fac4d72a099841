"""Who is behind the router while the backup helps, and while nodes are held out."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.core.desired import Desired, NodeView, desired, servable
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


def with_batches(*ready: str, fleet: Fleet | None = None) -> Routing:
    config = replace(CONFIG, batches_to_backup=True)
    views = {name: view(name) for name in ready}
    return desired(config, fleet or Fleet("v1"), None, views, Routing("v1"), None).routing


def test_batches_go_to_the_backup_where_it_is_ready_with_stables_version() -> None:
    assert with_batches("v1-1", "backup-v1-1").batches == "backup"
    assert with_batches("v1-1").batches is None
    back = Fleet("v2").promoted("v1", NOON)
    assert with_batches("v1-1", "backup-v2-1", fleet=back).batches is None
    assert with_batches("v1-1", "backup-v1-1", "backup-v2-1", fleet=back).batches == "backup"


def test_batches_go_to_stable_unless_the_fleet_says_otherwise() -> None:
    assert plan("v1-1", "backup-v1-1").routing.batches is None


def test_batches_wait_for_a_configuration_that_knows_the_backup() -> None:
    wanted = Routing("v1", canary="v2", canary_percent=5, batches="backup")
    only_stable = plan("v1-1").membership
    found = servable(wanted, only_stable, Routing("v1"))
    assert found is not None
    assert found.batches is None
    both = servable(wanted, plan("v1-1", "backup-v1-1").membership, Routing("v1"))
    assert both is not None
    assert both.batches == "backup"


def test_a_routing_with_batches_survives_being_written_down() -> None:
    routing = Routing("v1", batches="backup")
    assert Routing.from_dict(routing.to_dict()) == routing
    older = {k: v for k, v in routing.to_dict().items() if k != "batches"}
    assert Routing.from_dict(older) == Routing("v1")
