"""Whatever happens in whatever order, with crashes between: what must stay true of a fleet."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.adapters.store import SqlStore
from controller.api.status import percent
from controller.core.live.gate import Kind, LiveGate
from controller.core.plan import Freeze, Step
from controller.core.preflight import LoadCheck
from controller.core.rollout import ENDED, NEXT, Phase
from controller.core.shadow.gate import DisagreementGate
from controller.engine.records import Served
from tests.engine.conftest import Driver
from tests.engine.fakes import PLAN, Clock, FakeWorld, as_json

VERSIONS = st.sampled_from(["v2", "v3"])
ALL = st.sampled_from(["v1", "v2", "v3"])
STEPS = (replace(PLAN.steps[0], min_requests=2, deadline_seconds=600), *PLAN.steps[1:])
LISTENING = (Step(0, shadow=20), replace(PLAN.steps[0], shadow=50), *PLAN.steps[1:])
COPIES = (DisagreementGate(on_inconclusive="continue"),)
LIVE = (LiveGate("success", Kind.SUCCESS, on_inconclusive="continue"),)
PLANS = st.sampled_from(
    [
        PLAN,
        replace(PLAN, promote="auto"),
        replace(PLAN, promote="auto", steps=STEPS, on_inconclusive="rollback"),
        replace(PLAN, promote="auto", on_fail="hold", freeze=(Freeze("0 * * * *", 600),)),
        replace(PLAN, gates=(), promote="auto", rollback_window_seconds=0),
        replace(PLAN, live_gates=LIVE, promote="auto", load_check=LoadCheck("digits", 4, 2, 99)),
        replace(PLAN, gates=(), eval_sets=(), live_gates=LIVE, consent="required"),
        replace(PLAN, live_gates=LIVE, promote="auto", baseline=True),
        replace(PLAN, steps=LISTENING, shadow_gates=COPIES, live_gates=LIVE, promote="auto"),
    ]
)


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.events = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.world = FakeWorld()
        self.store = SqlStore.in_folder(Path(self.folder.name))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.events.run_until_complete(work)

    @initialize()
    def a_fleet_comes_up(self) -> None:
        self.driver = Driver(self.world, self.store, Clock())
        self.run(self.driver.begin())
        self.run(self.driver.until_settled())

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.run(self.driver.loop.close())
        self.run(self.events.shutdown_default_executor())
        self.events.close()
        self.store.close()
        self.folder.cleanup()

    # -- people -----------------------------------------------------------------------------

    @rule(version=VERSIONS, plan=PLANS, force=st.booleans())
    def start(self, version: str, plan: Any, force: bool) -> None:
        arguments = {"version": version, "plan": as_json(plan), "force": force}
        self.run(self.driver.command("start", **arguments))

    @rule(full=st.booleans(), force=st.booleans())
    def promote(self, full: bool, force: bool) -> None:
        self.run(self.driver.command("promote", full=full, force=force))

    @rule(command=st.sampled_from(["pause", "resume", "retry", "abort"]))
    def steer(self, command: str) -> None:
        self.run(self.driver.command(command))

    @rule(to=st.none() | ALL, force=st.booleans())
    def roll_back(self, to: str | None, force: bool) -> None:
        self.run(self.driver.command("rollback", to=to, force=force))

    # -- the world --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 60, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.driver.clock.pass_seconds(seconds)
        self.run(self.driver.round())

    @rule(rounds=st.integers(1, 5))
    def the_loop_turns(self, rounds: int) -> None:
        for _ in range(rounds):
            self.run(self.driver.round())

    @rule(number=st.integers(0, 20))
    def a_node_dies(self, number: int) -> None:
        running = sorted(name for name, node in self.world.nodes.items() if node.running)
        if running:
            self.world.end(running[number % len(running)])
        self.run(self.driver.round())

    @rule(number=st.integers(0, 20))
    def a_node_freezes_or_thaws(self, number: int) -> None:
        names = sorted(self.world.nodes)
        self.world.silent ^= {names[number % len(names)]} if names else set()
        self.run(self.driver.round())

    @rule(version=VERSIONS, kind=st.sampled_from(["broken", "slow"]))
    def a_version_breaks_or_mends(self, version: str, kind: str) -> None:
        faults: set[str] = getattr(self.world, kind)
        faults ^= {version}
        self.run(self.driver.round())

    @rule(version=VERSIONS, wrong=st.booleans())
    def a_version_hears_worse_or_well(self, version: str, wrong: bool) -> None:
        self.world.heard[version] = "请拨打一零八六" if wrong else "请拨打一零零八六"

    @rule(requests=st.integers(0, 60), status=st.sampled_from([200, 200, 503]))
    def users_come(self, requests: int, status: int) -> None:
        """As many to stable and baseline, where they are well, as to the canary."""
        canary = self.world.routing.canary or ""
        came_well = [("stable", "v1", 200), ("baseline", "baseline", 200)]
        for pool, group, came in (*came_well, ("canary", canary, status)):
            self.world.served += [
                Served(
                    pool,
                    "percent",
                    f"{pool}-{n}",
                    200,
                    (("127.0.0.1:9009", came),),
                    group=group,
                )
                for n in range(requests)
            ]
        self.run(self.driver.loop.observe_traffic())
        self.run(self.driver.round())

    @rule()
    def the_controller_is_killed_and_starts_again(self) -> None:
        self.run(self.driver.crash_and_restart())
        self.run(self.driver.round())

    # -- what must stay true ----------------------------------------------------------------

    @invariant()
    def shares_sum_to_a_hundred(self) -> None:
        assert sum(percent(self.world.routing).values()) == 100

    @invariant()
    def the_canary_never_has_more_than_its_step_allows(self) -> None:
        rollout, routing = self.driver.loop.rollout, self.world.routing
        if routing is None or routing.canary is None:
            return
        assert rollout is not None
        assert not rollout.ended, "a rollout that has ended gets nothing"
        assert routing.canary == rollout.version
        allowed = 0 if rollout.plan.asks else rollout.current_step.percent
        assert routing.canary_percent <= allowed

    @invariant()
    def the_baseline_never_has_more_than_the_canary_and_nothing_without_one(self) -> None:
        rollout, routing = self.driver.loop.rollout, self.world.routing
        if routing is None or routing.baseline is None:
            return
        assert rollout is not None
        assert rollout.plan.baseline
        assert not rollout.ended, "a rollout that has ended gets nothing"
        assert 0 < routing.baseline_percent <= routing.canary_percent

    @invariant()
    def copies_never_exceed_what_the_plan_allows_and_end_with_the_rollout(self) -> None:
        rollout, routing = self.driver.loop.rollout, self.world.routing
        if routing is None or routing.shadow is None:
            return
        assert rollout is not None
        assert not rollout.ended, "a rollout that has ended gets no copies"
        assert routing.shadow == rollout.version
        steps = rollout.plan.steps[: rollout.step + 1]
        assert routing.shadow_percent <= max(step.shadow for step in steps)

    @invariant()
    def the_router_knows_whom_it_sends_to(self) -> None:
        routing, loaded = self.world.routing, self.world.loaded
        if routing is not None and loaded is not None:
            sent_to = {routing.stable, routing.canary, routing.baseline, routing.shadow}
            assert sent_to - {None} <= loaded.group_names()

    @invariant()
    def a_version_with_traffic_and_a_healthy_node_has_a_node_behind_the_router(self) -> None:
        wanted = self.driver.loop.desired()
        for version in {wanted.routing.stable, wanted.routing.canary} - {None, "backup"}:
            if self.driver.loop.observer.addresses(version):
                assert wanted.membership.group(version) is not None

    @invariant()
    def a_versions_nodes_have_that_version_also_those_that_the_backup_lends(self) -> None:
        groups = self.world.loaded.groups if self.world.loaded is not None else ()
        for group in groups:
            names = [endpoint.node.removeprefix("backup-") for endpoint in group.endpoints]
            if group.name not in {"backup", "baseline"}:
                assert {name.rpartition("-")[0] for name in names} == {group.name}

    @invariant()
    def every_change_of_phase_is_an_event_with_a_reason_and_is_legal(self) -> None:
        changes = [
            event for event in self.store.events(limit=10_000)
            if event.kind == "rollout.phase_changed"
        ]  # fmt: skip
        assert all(event.message for event in changes)
        for rollout_id in {event.subject for event in changes}:
            phases = [Phase(e.data["phase"]) for e in changes if e.subject == rollout_id]
            assert phases[0] is Phase.PREPARING
            for before, after in pairwise(phases):
                assert after in NEXT[before], f"{rollout_id}: {before} → {after}"

    @invariant()
    def at_most_one_rollout_is_under_way(self) -> None:
        under_way = [r for r in self.store.rollouts() if r.phase not in ENDED]
        assert len(under_way) <= 1


Fleet.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
test_whatever_happens_a_fleet_keeps_its_promises = Fleet.TestCase
