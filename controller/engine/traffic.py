"""What the access log says of live traffic: shares, failures and who made them."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.engine.records import Served
from controller.engine.slices import in_slices

log = logging.getLogger(__name__)
KEYS_FOR_AN_HONEST_PERCENTAGE = 200
_COUNTED: Final = ("requests", "by_rule", "attempts_failed")


@dataclass(slots=True)
class Traffic:
    """Counts since the rollout under way last changed the share that is asked for."""

    node_at: Callable[[str], str | None]
    share: float | None = None  # that was asked for while these were counted, in percent
    rollout_id: str | None = None  # that was under way meanwhile
    requests: collections.Counter[str] = field(default_factory=collections.Counter)
    by_rule: collections.Counter[str] = field(default_factory=collections.Counter)
    failed: int = 0
    rescued: int = 0  # the canary failed, stable answered: a canary failure all the same
    attempts_failed: collections.Counter[str] = field(default_factory=collections.Counter)
    _keys: set[str] = field(default_factory=set)

    async def observe(
        self,
        served: Iterable[Served],
        share: float | None,
        rollout_id: str | None = None,
        canary: str | None = None,
    ) -> None:
        """What was served since the last look, while `share` percent were asked for by the
        rollout under way, of version `canary`. Late answers of a canary before this one are
        nobody's."""
        if not self.follow(share, rollout_id):
            return
        async for some in in_slices(served):
            for request in some:
                if request.pool != "canary" or request.group in {"", canary}:
                    self.take(request)

    def follow(self, share: float | None, rollout_id: str | None = None) -> bool:
        """Whether counting goes on. Else it begins anew, and what was logged until now belongs to
        the share before. A canary that is away for a moment, with a share of 0, has not lost what
        it was counted for."""
        is_away = not share and rollout_id is not None
        if rollout_id == self.rollout_id and (share == self.share or is_away):
            return True
        self.begin_anew()
        self.share, self.rollout_id = share, rollout_id
        return False

    def canary_requests(self, share: float, opted_in: bool = False) -> int:
        """Random ones, or those that a rule decided, since `share` percent are asked for."""
        counted = self.by_rule if opted_in else self.requests
        return counted["canary"] if share == self.share else 0

    def take(self, served: Served) -> None:
        if served.decided_by in {"percent", "stable"}:
            self.requests[served.pool] += 1
            if len(self._keys) < 10 * KEYS_FOR_AN_HONEST_PERCENTAGE:
                self._keys.add(served.key_hash)
        elif served.decided_by != "batches":  # nobody opted in
            self.by_rule[served.pool] += 1
        if served.client_left:  # no answer was awaited: no node failed
            return
        if served.status >= 500:
            self.failed += 1
        bad = [address for address, status in served.attempts if status is None or status >= 500]
        for address in bad:
            self.attempts_failed[self.node_at(address) or address] += 1
        if served.pool == "canary" and bad and served.status < 500:
            self.rescued += 1

    def begin_anew(self) -> None:
        """The share that is asked for has changed: old counts would blur the actual one."""
        self.requests.clear()
        self._keys.clear()
        self.by_rule.clear()

    def summary(self) -> dict[str, Any]:
        """Shares in percent of the random traffic, the baseline's None without one; `warning`
        where keys are too few for one."""
        total = self.requests.total()
        canary, baseline = self.requests["canary"], self.requests["baseline"]
        few = 0 < len(self._keys) < KEYS_FOR_AN_HONEST_PERCENTAGE
        return {
            "requests": total,
            "opted_in": self.by_rule.total(),
            "keys": len(self._keys),
            "canary_percent_actual": round(100 * canary / total, 2) if total else None,
            "baseline_percent_actual": round(100 * baseline / total, 2) if baseline else None,
            "failed": self.failed,
            "rescued": self.rescued,
            "failed_attempts_by_node": dict(self.attempts_failed),
            "warning": f"only {len(self._keys)} sticky keys seen: the actual share cannot be "
            f"exact below {KEYS_FOR_AN_HONEST_PERCENTAGE}"
            if few
            else None,
        }

    def to_json(self) -> dict[str, Any]:
        """For `resume`."""
        return {
            "share": self.share,
            "requests": self.requests,
            "by_rule": self.by_rule,
            "failed": self.failed,
            "rescued": self.rescued,
            "attempts_failed": self.attempts_failed,
            "keys": sorted(self._keys),
        }

    def resume(self, rollout_id: str, state: Mapping[str, Any] | None) -> bool:
        """Go on with the counts that the controller before us had for this rollout; whether
        there were any that we understand."""
        if state is None:
            return False
        try:
            share, keys = state["share"], set(state["keys"])
            failed, rescued = int(state["failed"]), int(state["rescued"])
            counted = [collections.Counter(state[name]) for name in _COUNTED]
        except (KeyError, TypeError, ValueError) as error:  # of another version of this program
            log.warning("traffic.counts_not_understood rollout=%s error=%r", rollout_id, error)
            return False
        self.rollout_id, self.share, self._keys = rollout_id, share, keys
        self.failed, self.rescued = failed, rescued
        self.requests, self.by_rule, self.attempts_failed = counted
        return True
