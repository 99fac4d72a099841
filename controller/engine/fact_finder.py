"""Gathers what a tick goes by: one snapshot of what the collaborators know of a rollout."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from controller.core.cron import frozen_until
from controller.core.desired import baseline_nodes
from controller.core.facts import Facts
from controller.core.fleet import FleetConfig
from controller.core.rollout import Rollout
from controller.core.verdict import Verdict
from controller.engine.gate_keeper import GateKeeper
from controller.engine.live_keeper import LiveKeeper
from controller.engine.nodes import NodeKeeper
from controller.engine.observer import Observer
from controller.engine.preflight import PreflightKeeper
from controller.engine.review_keeper import ReviewKeeper
from controller.engine.shadow_keeper import ShadowKeeper
from controller.engine.strain_keeper import StrainKeeper
from controller.engine.traffic import Traffic


@dataclass(slots=True)
class FactFinder:
    _config: FleetConfig
    _observer: Observer
    _keeper: NodeKeeper
    _preflight: PreflightKeeper
    _traffic: Traffic
    _gates: GateKeeper
    _live: LiveKeeper
    _shadow: ShadowKeeper
    _strain: StrainKeeper
    _people: ReviewKeeper

    def of(
        self, rollout: Rollout, observing_since: datetime.datetime | None, now: datetime.datetime
    ) -> Facts:
        """`observing_since`: when this controller began to look."""
        step = rollout.current_step
        baseline = baseline_nodes(self._config, rollout, step.percent)
        return Facts(
            now=now,
            observing_since=observing_since,
            canary_ready=len(self._observer.addresses(rollout.version)),
            canary_needed=self._config.canary_nodes_for(step.node_percent),
            baseline_ready=self._observer.ready(baseline),
            baseline_needed=len(baseline),
            canary_problem=self._observer.defect(rollout.version)
            or self._keeper.problem(rollout.version),
            preflight_problem=self._preflight.problem(rollout),
            preflight_passed=self._preflight.passed(rollout),
            preflight_waits=self._preflight.waits(rollout),
            preflight_seconds=self._preflight.seconds(rollout),
            frozen_until=frozen_until(rollout.plan.freeze, now),
            thawed_at=frozen_until(
                rollout.plan.freeze,
                now - datetime.timedelta(seconds=rollout.plan.start_deadline_seconds),
            ),
            canary_requests=self._traffic.canary_requests(step.percent, opted_in=rollout.plan.asks),
            verdicts=self._gates.verdicts(rollout),
            live_verdicts=self.live_verdicts(rollout),
            evaluation_problem=self._gates.problem(rollout),
        )

    def live_verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """What live traffic, its copies and people say now."""
        return (
            *self._live.verdicts(rollout),
            *self._shadow.verdicts(rollout),
            *self._strain.verdicts(rollout),
            *self._people.verdicts(rollout),
        )
