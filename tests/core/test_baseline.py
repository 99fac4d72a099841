"""Fresh nodes of the old version beside the canary: when, how many, with which share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.advance import advance
from controller.core.desired import Desired, NodeView, Pool, desired
from controller.core.errors import InvalidConfig, InvalidName, Refused
from controller.core.fleet import Fleet, FleetConfig
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Step
from controller.core.rollout import Phase, Rollout
from controller.core.routing import Routing
from controller.core.version import Version
from controller.core.waiting import next_action
from tests.core.rollouts import PLAN, a_rollout, facts

VERSIONS = {name: Version(name, f"/models/{name}") for name in ("v1", "v2")}
CONFIG = FleetConfig("asr", VERSIONS, "v1", stable_nodes=4)
GATES = (LiveGate("success", Kind.SUCCESS),)
COMPARED = replace(PLAN, live_gates=GATES, baseline=True)
STABLE = ("v1-1", "v1-2", "v1-3", "v1-4", "backup-v1-1")
BASELINE = ("baseline-v1-r1-1", "baseline-v1-r1-2")


def rollout(**changes: object) -> Rollout:
    return a_rollout(plan=COMPARED, **changes)


def holding(percent: float, **changes: object) -> Rollout:
    steps = [step.percent for step in COMPARED.steps]
    step = steps.index(percent)
    return rollout(phase=Phase.HOLDING, step=step, reached_percent=percent, **changes)


def wanted(of: Rollout | None, ready: Iterable[str] = ()) -> Desired:
    views = {
        name: NodeView(name, "v2" if name.startswith("v2") else "v1", f"127.0.0.1:{port}", True)
        for port, name in enumerate(ready, start=9000)
    }
    return desired(CONFIG, Fleet("v1"), of, views, Routing("v1"), None)


def baseline(found: Desired) -> tuple[str, ...]:
    return tuple(node.name for node in found.nodes if node.pool is Pool.BASELINE)


@pytest.mark.parametrize(
    ("canary", "share"), [(0, 0), (5, 5), (50, 50), (60, 40), (66.6, 33.4), (80, 20), (81, 0)]
)
def test_its_share_is_the_canarys_as_far_as_there_is_as_much_left(
    canary: float, share: float
) -> None:
    assert COMPARED.baseline_percent(canary) == share
    assert PLAN.baseline_percent(canary) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"live_gates": ()}, "no gate would compare"),
        ({"live_gates": (LiveGate("degraded", Kind.DEGRADED),)}, "no gate would compare"),
        ({"consent": "required"}, "nobody is chosen at random"),
        ({"steps": (Step(90), Step(100))}, "no step has a share of at most 80 %"),
    ],
)
def test_a_baseline_that_would_tell_nothing_is_refused(
    change: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidConfig, match=f"^baseline: .*{said}"):
        replace(COMPARED, **change)


def test_a_canary_that_also_works_on_copies_cannot_be_compared_with_one_that_does_not() -> None:
    with pytest.raises(InvalidConfig, match=r"^steps\.0\.shadow: .* leave out one"):
        replace(COMPARED, steps=(Step(5, shadow=20), Step(100)))
    replace(COMPARED, steps=(Step(0, shadow=20), Step(5), Step(100)))  # one after the other may be


def test_it_starts_with_the_canary_with_as_many_nodes() -> None:
    for step, count in ((0, 1), (1, 2)):
        found = wanted(rollout(step=step))
        assert len([node for node in found.nodes if node.pool is Pool.CANARY]) == count
        assert baseline(found) == BASELINE[:count]


def test_its_nodes_are_none_that_another_rollout_left_behind() -> None:
    again = rollout(id="v2-20261121-120000-7")
    assert baseline(wanted(again)) == ("baseline-v1-7-1",)


def test_it_is_a_group_of_its_own_with_the_share_of_the_canary() -> None:
    found = wanted(holding(5), [*STABLE, "v2-1", *BASELINE[:1]])
    routing, group = found.routing, found.membership.group("baseline")
    assert (routing.canary_percent, routing.baseline_percent) == (5, 5)
    assert group is not None
    assert [endpoint.node for endpoint in group.endpoints] == ["baseline-v1-r1-1"]
    assert len(found.membership.group("v1").endpoints) == 4  # type: ignore[union-attr]


def test_while_its_nodes_are_away_stable_has_its_share() -> None:
    routing = wanted(holding(5), [*STABLE, "v2-1"]).routing
    assert (routing.canary_percent, routing.baseline) == (5, None)


def test_it_gets_nothing_while_there_is_no_canary_to_compare_with_it() -> None:
    assert wanted(holding(5), [*STABLE, *BASELINE]).routing.baseline is None


def test_it_keeps_its_share_until_the_last_step_begins() -> None:
    ready = [*STABLE, "v2-1", "v2-2", *BASELINE]
    preparing = rollout(phase=Phase.PREPARING, step=2, reached_percent=50)
    assert wanted(preparing, ready).routing.baseline_percent == 50
    found = wanted(holding(100), ready)
    assert (found.routing.baseline, baseline(found)) == (None, ())


@pytest.mark.parametrize("phase", [Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED])
def test_after_the_end_it_gets_nothing_and_is_not_wanted(phase: Phase) -> None:
    found = wanted(replace(holding(50), phase=phase), [*STABLE, "v2-1", "v2-2", *BASELINE])
    assert (found.routing.baseline, baseline(found)) == (None, ())


def test_it_is_no_capacity_of_stable() -> None:
    """v1 is to be stable again, and two of its four nodes that are ready are only a baseline."""
    views = {n: NodeView(n, "v1", "127.0.0.1:1", True) for n in ("v1-1", "v1-2", *BASELINE)}
    views["v2-1"] = NodeView("v2-1", "v2", "127.0.0.1:2", True)
    back = Fleet("v1", previous="v2")
    assert desired(CONFIG, back, None, views, Routing("v2"), None).routing.stable == "v2"


def test_the_step_begins_when_both_are_ready() -> None:
    waiting = facts(canary_ready=1, baseline_ready=0, baseline_needed=1)
    assert advance(rollout(), waiting).phase is Phase.PREPARING
    assert "and those of the baseline" in next_action(rollout(), waiting)
    begun = advance(rollout(), replace(waiting, baseline_ready=1))
    assert begun.phase is Phase.HOLDING
    assert begun.reason == "1 canary nodes and 1 of the baseline are ready: 5 %"


def test_a_step_does_not_end_while_the_baseline_is_away() -> None:
    away = facts(1000, baseline_ready=0, baseline_needed=1, verdicts=())
    step = rollout(phase=Phase.HOLDING, reached_percent=5)
    step = replace(step, plan=replace(COMPARED, gates=()))
    assert advance(step, away).phase is Phase.HOLDING
    assert "0 of 1 baseline nodes are ready" in next_action(step, away)
    assert advance(step, replace(away, baseline_ready=1)).phase is not Phase.HOLDING


def test_a_baseline_that_never_comes_up_is_no_fault_of_the_new_version() -> None:
    late = facts(301, baseline_ready=0, baseline_needed=1)
    after = advance(rollout(), late)
    assert after.phase is Phase.ABORTED
    assert after.reason.startswith("the baseline was not ready after 300 s (0 of 1 fresh nodes")
    neither = advance(rollout(), replace(late, canary_ready=0))
    assert neither.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("name", ["baseline-1", "backup-1", "v" * 41])
def test_no_version_is_named_like_the_nodes_of_a_pool(name: str) -> None:
    with pytest.raises(InvalidName, match="'baseline-'"):
        Version(name, "/models/x")


def test_its_devices_are_in_the_sum_before_the_start() -> None:
    config = replace(CONFIG, devices=tuple(f"cuda:{n}" for n in range(11)))
    config.check_capacity(3600, baseline_nodes=1)
    with pytest.raises(Refused, match=r"needs 12 devices \(4 stable, 4 canary, 2 baseline, "):
        config.check_capacity(3600, baseline_nodes=2)


@given(st.integers(1, 1000).map(lambda tenths: tenths / 10))
def test_whatever_the_step_it_never_has_more_than_the_canary_or_than_is_left(
    percent: float,
) -> None:
    share = COMPARED.baseline_percent(percent)
    routing = Routing("v1", "v2", percent, baseline="baseline", baseline_percent=share)
    assert routing.canary_buckets + routing.baseline_buckets <= 1000
