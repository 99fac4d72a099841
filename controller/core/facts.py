"""What `core.advance` may know of the world."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from controller.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Facts:
    """What `advance` may know: measured, never assumed.

    `observing_since` is when this controller began: time in which nobody looked is not held
    against a node.
    `canary_ready` counts nodes that are healthy with the right digest; `canary_needed` is what the
    current step takes; likewise of the baseline. `canary_requests` are the random ones that it had
    in this step, or, where the plan requires consent, those of who opted in. Until `frozen_until`,
    no version gets more traffic; `thawed_at` is when the last freeze ended, where that is less than
    the plan's `start_deadline` ago. `canary_problem` says why the canary will not become ready
    (crash loop, wrong digest). `preflight_passed`: nothing is left to be shown before the first
    step; `preflight_problem` says what speaks against it, `preflight_waits` why it has not ended;
    `preflight_seconds`, what its measuring has taken, is not held against a start deadline.
    `verdicts` is None until both versions' transcripts are scored; `evaluation_problem` says why
    they cannot be. `live_verdicts` are what live traffic and people say now."""

    now: datetime.datetime
    canary_ready: int
    canary_needed: int
    baseline_ready: int = 0
    baseline_needed: int = 0
    observing_since: datetime.datetime | None = None
    canary_problem: str | None = None
    canary_requests: int = 0
    preflight_problem: str | None = None
    preflight_passed: bool = True
    preflight_waits: str | None = None
    preflight_seconds: float = 0.0
    frozen_until: datetime.datetime | None = None
    thawed_at: datetime.datetime | None = None
    verdicts: tuple[Verdict, ...] | None = None
    evaluation_problem: str | None = None
    live_verdicts: tuple[Verdict, ...] = ()
