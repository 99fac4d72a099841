import datetime
import itertools
from dataclasses import replace

import pytest

from controller.adapters.nginx.render import fallback_group
from controller.core.desired import Desired, NodeView, Pool, desired
from controller.core.fleet import Fleet, FleetConfig
from controller.core.rollout import Phase, Rollout
from controller.core.routing import CookieRule, Membership, Routing, Trial
from controller.core.version import Version
from tests.core.rollouts import NOON, PLAN, a_rollout

VERSIONS = {name: Version(name, f"/models/{name}") for name in ("v1", "v2", "v3")}
CONFIG = FleetConfig(service="asr", versions=VERSIONS, initial_version="v1")


def view(name: str, ready: bool = True) -> NodeView:
    version = name.removeprefix("backup-").rpartition("-")[0]
    port = 9000 + sum(name.encode())
    return NodeView(name, version, f"127.0.0.1:{port}", ready)


def plan(
    *ready: str,
    fleet: Fleet | None = None,
    rollout: Rollout | None = None,
    serving: str | None = "v1",
    loaded: Membership | None = None,
) -> Desired:
    views = {name: view(name) for name in ready}
    routing = Routing(serving) if serving else None
    return desired(CONFIG, fleet or Fleet("v1"), rollout, views, routing, loaded)


def names(found: Desired, pool: Pool) -> list[str]:
    return [node.name for node in found.nodes if node.pool is pool]


def test_a_fresh_fleet_wants_its_stable_and_backup_nodes() -> None:
    found = plan(serving=None)
    assert names(found, Pool.STABLE) == ["v1-1", "v1-2"]
    assert names(found, Pool.BACKUP) == ["backup-v1-1"]
    assert found.routing == Routing("v1", known_healthy=False)


def test_only_ready_nodes_are_behind_the_router() -> None:
    views = {"v1-1": view("v1-1"), "v1-2": view("v1-2", ready=False)}
    found = desired(CONFIG, Fleet("v1"), None, views, None, None)
    (group,) = found.membership.groups
    assert [endpoint.node for endpoint in group.endpoints] == ["v1-1"]


def test_a_canary_gets_its_share_only_once_it_is_ready_and_the_step_began() -> None:
    stable = ("v1-1", "v1-2", "backup-v1-1")
    preparing = a_rollout()
    assert plan(*stable, "v2-1", rollout=preparing).routing.canary is None
    holding = a_rollout(phase=Phase.HOLDING, reached_percent=5)
    assert plan(*stable, rollout=holding).routing.canary_percent == 0
    routing = plan(*stable, "v2-1", rollout=holding).routing
    assert (routing.canary, routing.canary_percent, routing.salt) == ("v2", 5, "r1")


def test_the_rollout_s_cookie_opts_in_and_out() -> None:
    holding = a_rollout(phase=Phase.HOLDING, reached_percent=5)
    rules = plan("v1-1", "v1-2", "v2-1", rollout=holding).routing.rules
    assert [(rule.name, rule.value, rule.pool) for rule in rules] == [
        ("ABTEST_v2", "1", "canary"),
        ("ABTEST_v2", "0", "stable"),
    ]


def test_the_page_of_the_router_knows_the_trial_and_its_cookie() -> None:
    holding = a_rollout(phase=Phase.HOLDING, reached_percent=5)
    assert plan("v1-1", "v2-1", rollout=holding).routing.trial == Trial("ABTEST_v2")
    preparing = a_rollout()
    assert plan("v1-1", "v2-1", rollout=preparing).routing.trial is None


@pytest.mark.parametrize("percent", [5, 50, 100])
def test_nobody_is_chosen_at_random_where_consent_is_required(percent: float) -> None:
    asking = replace(PLAN, consent="required")
    holding = a_rollout(plan=asking, phase=Phase.HOLDING, reached_percent=percent)
    routing = plan("v1-1", "v1-2", "v2-1", rollout=holding).routing
    assert (routing.canary, routing.canary_buckets) == ("v2", 0)
    assert CookieRule("ABTEST_v2", "1", "canary") in routing.rules
    assert routing.consent_required


def test_the_canary_has_the_nodes_of_its_next_step_before_it_gets_the_traffic() -> None:
    preparing = a_rollout(step=2, reached_percent=5)
    assert names(plan(rollout=preparing), Pool.CANARY) == ["v2-1", "v2-2"]


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_after_the_end_the_canary_gets_nothing_and_is_not_wanted(phase: Phase) -> None:
    ended = a_rollout(phase=phase, reached_percent=50)
    found = plan("v1-1", "v1-2", "v2-1", rollout=ended)
    assert found.routing == Routing("v1")
    assert names(found, Pool.CANARY) == []


def test_a_promoted_version_takes_over_with_the_nodes_it_has_and_the_old_stay_warm() -> None:
    fleet = Fleet("v1").promoted("v2", NOON + datetime.timedelta(hours=1))
    found = plan("v1-1", "v1-2", "v2-1", "v2-2", "backup-v1-1", fleet=fleet)
    assert found.routing.stable == "v2"
    assert names(found, Pool.STABLE) == ["v2-1", "v2-2"]
    assert names(found, Pool.RETIRED) == ["v1-1", "v1-2"]


def test_the_old_backup_stays_until_the_new_one_is_ready() -> None:
    fleet = Fleet("v1").promoted("v2", NOON)
    assert names(plan("v2-1", "v2-2", "backup-v1-1", fleet=fleet), Pool.BACKUP) == [
        "backup-v2-1",
        "backup-v1-1",
    ]
    renewed = plan("v2-1", "v2-2", "backup-v1-1", "backup-v2-1", fleet=fleet)
    assert names(renewed, Pool.BACKUP) == ["backup-v2-1"]


def test_traffic_stays_where_it_is_until_the_other_version_has_the_capacity() -> None:
    back = Fleet("v2", previous="v1").rolled_back(None, NOON)
    cold = plan("v2-1", "v2-2", "v1-1", fleet=back, serving="v2")
    assert cold.routing.stable == "v2"
    assert cold.alarm == "v2 serves until enough nodes of v1 are ready"
    assert {"v1-1", "v1-2", "v2-1", "v2-2"} <= {node.name for node in cold.nodes}
    warm = plan("v2-1", "v2-2", "v1-1", "v1-2", fleet=back, serving="v2")
    assert warm.routing.stable == "v1"


def test_traffic_goes_to_a_smaller_pool_when_the_serving_one_has_died() -> None:
    back = Fleet("v2", previous="v1").rolled_back(None, NOON)
    assert plan("v1-1", fleet=back, serving="v2").routing.stable == "v1"


def test_the_backup_takes_over_when_no_stable_node_is_ready_and_gives_back() -> None:
    over = plan("backup-v1-1")
    assert over.routing.stable == "backup"
    assert over.alarm == "no node of stable v1 is ready; the backup serves"
    back = plan("backup-v1-1", "v1-1", serving="backup")
    assert back.routing.stable == "v1"


def test_with_nobody_known_to_be_healthy_the_last_node_lists_stay() -> None:
    loaded = plan("v1-1", "v1-2").membership
    found = plan(loaded=loaded)
    assert found.membership == loaded
    assert found.alarm is not None
    assert not found.routing.known_healthy


def test_a_retired_version_that_comes_back_as_canary_uses_its_warm_nodes() -> None:
    fleet = replace(Fleet("v1"), retired="v2", retired_until=NOON)
    found = plan(fleet=fleet, rollout=a_rollout())
    assert names(found, Pool.CANARY) == ["v2-1"]
    assert names(found, Pool.RETIRED) == ["v2-2"]


def test_whoever_is_ready_the_router_never_falls_to_a_version_that_is_marked_bad() -> None:
    nodes = ("v1-1", "v1-2", "v2-1", "v3-1", "backup-v1-1")
    every = [set(some) for n in range(6) for some in itertools.combinations(nodes, n)]
    bad = Fleet("v1", retired="v2", retired_until=NOON, bad=frozenset({"v2", "v3"}))
    again = a_rollout(version="v3", phase=Phase.HOLDING, reached_percent=5)  # by --force
    for ready, before in itertools.product(every, every):
        loaded = plan(*before, fleet=replace(bad, bad=frozenset()), rollout=again).membership
        found = plan(*ready, fleet=bad, rollout=again, loaded=loaded)
        assert fallback_group(found.membership, found.routing) in {"v1", "backup", ""}


def test_a_bad_version_that_is_kept_warm_never_serves_in_place_of_stable() -> None:
    """As after a restart, where its nodes are ready before those of stable are."""
    fleet = replace(Fleet("v1"), retired="v2", retired_until=NOON, bad=frozenset({"v2"}))
    assert plan("v2-1", "v2-2", fleet=fleet, serving=None).membership.groups == ()
    both = plan("v1-1", "v2-1", fleet=fleet, serving=None)
    assert both.membership.group_names() == {"v1", "v2"}  # going back on would need no reload
    good = replace(fleet, bad=frozenset())
    assert plan("v2-1", fleet=good, serving=None).membership.group_names() == {"v2"}


def test_an_evaluated_version_has_a_node_that_is_never_behind_the_router() -> None:
    views = {name: view(name) for name in ("v1-1", "v1-2", "v3-1")}
    found = desired(CONFIG, Fleet("v1"), None, views, Routing("v1"), None, evaluated={"v3"})
    assert found.wants("v3-1")
    assert found.membership.group("v3") is None


def test_a_version_whose_nodes_all_fail_keeps_its_last_nodes_where_nobody_takes_over() -> None:
    before = plan("v1-1", "v1-2").membership
    canary_only = plan("v2-1", rollout=a_rollout(), loaded=before)
    assert canary_only.membership.group("v1") == before.group("v1")
    assert canary_only.alarm == "no node of stable v1 is ready; nobody serves its traffic"
    with_backup = plan("backup-v1-1", loaded=before)
    assert with_backup.membership.group("v1") is None
