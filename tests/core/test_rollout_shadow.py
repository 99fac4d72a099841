"""Steps in which the new version only listens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.advance import advance
from controller.core.desired import NodeView, desired, servable
from controller.core.errors import InvalidConfig
from controller.core.fleet import Fleet, FleetConfig
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Plan, Step
from controller.core.rollout import Phase, Rollout
from controller.core.routing import Membership
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.strain import StrainGate
from controller.core.steering import abort
from controller.core.verdict import Outcome, Verdict
from controller.core.version import Version
from controller.core.waiting import next_action
from tests.core.rollouts import NOON, a_rollout, facts

SHADOW = Step(0, 60, shadow=20)
PLAN = Plan(
    name="shadow-first",
    steps=(SHADOW, Step(5, 60), Step(100)),
    live_gates=(LiveGate("success", Kind.SUCCESS),),
    shadow_gates=(DisagreementGate(),),
    promote="auto",
)
CONFIG = FleetConfig(
    service="asr",
    versions={name: Version(name, f"/models/{name}") for name in ("v1", "v2")},
    initial_version="v1",
    stable_nodes=4,
)


def said(outcome: Outcome) -> tuple[Verdict, ...]:
    verdict = Verdict("disagreement overall", outcome, 0, 0.02, 0.02, (0.01, 0.03), 300, "heard",
                      keys=40)  # fmt: skip
    return (verdict,)


def listening(**changes: object) -> Rollout:
    return replace(advance(a_rollout(plan=PLAN), facts()), **changes)


def wanted(rollout: Rollout | None):
    names = [f"v1-{n}" for n in range(1, 5)] + ["v2-1"]
    views = {
        name: NodeView(name, name[:2], f"127.0.0.1:{9000 + n}", ready=True)
        for n, name in enumerate(names)
    }
    return desired(CONFIG, Fleet("v1"), rollout, views, None, None)


def test_a_shadow_step_copies_requests_and_answers_nobody() -> None:
    rollout = listening()
    assert (rollout.phase, rollout.percent, rollout.shadow) == (Phase.HOLDING, 0, 20)
    routing = wanted(rollout).routing
    assert (routing.shadow, routing.shadow_percent, routing.salt) == ("v2", 20, rollout.id)
    assert (routing.canary, routing.canary_percent, routing.rules) == (None, 0, ())


def test_its_nodes_are_as_many_as_the_copies_need() -> None:
    plan = replace(PLAN, steps=(Step(0, 60, shadow=50), Step(100)))
    nodes = wanted(a_rollout(plan=plan)).nodes
    assert [node.name for node in nodes if node.version == "v2"] == ["v2-1", "v2-2"]


@pytest.mark.parametrize("phase", [Phase.ABORTED, Phase.ROLLED_BACK, Phase.PROMOTED])
def test_no_copy_outlives_the_rollout(phase: Phase) -> None:
    rollout = replace(listening(), phase=phase)
    assert rollout.shadow == 0
    assert wanted(rollout).routing.shadow is None


def test_abort_ends_the_copies() -> None:
    assert wanted(abort(listening(), "ann", NOON)).routing.shadow is None


def test_the_copies_go_on_until_the_next_steps_nodes_are_ready() -> None:
    after = advance(listening(), facts(61, live_verdicts=said(Outcome.PASS)))
    assert (after.phase, after.step, after.shadow) == (Phase.PREPARING, 1, 20)
    begun = advance(after, facts(62))
    assert (begun.phase, begun.percent, begun.shadow) == (Phase.HOLDING, 5, 0)


def test_live_gates_are_not_asked_of_a_version_that_answered_nobody() -> None:
    after = advance(listening(), facts(61, live_verdicts=said(Outcome.PASS)))
    assert "all 1 gates passed" in after.reason


@pytest.mark.parametrize(
    ("live", "why"),
    [((), "no request was heard by both versions yet"), (said(Outcome.INCONCLUSIVE), "heard")],
)
def test_what_the_copies_cannot_tell_waits_for_a_person(
    live: tuple[Verdict, ...], why: str
) -> None:
    after = advance(listening(), facts(61, live_verdicts=live))
    assert after.phase is Phase.WAITING
    assert why in after.reason


def test_too_much_disagreement_sends_it_back_at_once() -> None:
    after = advance(listening(), facts(5, live_verdicts=said(Outcome.FAIL)))
    assert after.phase is Phase.ROLLED_BACK


def test_copies_that_slow_stable_down_end_though_the_rollout_only_waits() -> None:
    plan = replace(PLAN, strain_gates=(StrainGate(on_fail="hold"),))
    slow = Verdict(
        "stable-latency", Outcome.FAIL, 0.05, 0.3, 0.25, (0.2, 0.3), 300, "slow", keys=40
    )
    after = advance(listening(plan=plan), facts(5, live_verdicts=(*said(Outcome.PASS), slow)))
    assert (after.phase, after.shadow) == (Phase.WAITING, 0)
    assert wanted(after).routing.shadow is None


def test_a_step_without_copies_does_not_ask_for_them_again() -> None:
    plan = replace(PLAN, live_gates=())
    rollout = listening(plan=plan, step=1, reached_percent=5.0, reached_shadow=0.0)
    after = advance(rollout, facts(61, live_verdicts=said(Outcome.INCONCLUSIVE)))
    assert (after.phase, after.step) == (Phase.PREPARING, 2)


def test_what_happens_next_is_said_of_copies_too() -> None:
    assert next_action(a_rollout(plan=PLAN)) == (
        "copies of 20 % of stable's requests, no answers to v2 as soon as its nodes are ready"
    )


def test_the_switch_leaves_out_a_shadow_that_the_router_does_not_know() -> None:
    full = wanted(listening())
    known = Membership(tuple(g for g in full.membership.groups if g.name == "v1"))
    routing = servable(full.routing, known, None)
    assert routing is not None
    assert (routing.stable, routing.shadow, routing.shadow_percent) == ("v1", None, 0)


def test_percent_skips_the_shadow_step_and_its_gate() -> None:
    plan = PLAN.starting_at(5)
    assert ([step.percent for step in plan.steps], plan.shadow_gates) == ([5, 100], ())


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ({"percent": 0}, "percent"),
        ({"percent": 5, "shadow": 101}, "shadow"),
        ({"percent": 100, "shadow": 5}, "shadow"),
        ({"percent": 0, "shadow": 5, "min_requests": 1}, "min_requests"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(step: dict[str, float], key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^{key}: "):
        Step(**step)  # type: ignore[arg-type]


def test_a_gate_on_copies_needs_copies() -> None:
    with pytest.raises(InvalidConfig, match="needs a step with `shadow`"):
        replace(PLAN, steps=(Step(5), Step(100)))


def test_two_shadow_steps_may_follow_each_other_where_the_copies_grow() -> None:
    replace(PLAN, steps=(Step(0, shadow=5), SHADOW, Step(100)))
    with pytest.raises(InvalidConfig, match="does not exceed"):
        replace(PLAN, steps=(SHADOW, SHADOW, Step(100)))
