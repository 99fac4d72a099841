"""One drill from its steady state to its report."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controller.core.drill.catalogue import Drill
from controller.core.drill.measures import Observations, recovered
from controller.core.drill.options import DrillOptions
from controller.core.drill.report import Numbers, Outcome, Report, judge, numbers_of, suffering
from controller.core.drill.situation import Circumstances, objections, situation_of, victims
from controller.core.errors import ControllerError, Refused
from controller.drills.breaking import Breaker
from controller.drills.controller_process import is_supervised
from controller.drills.load import Load
from controller.drills.witness import Scene, Witness, backup_nodes

_LOOK_SECONDS: Final = 0.2
_QUIET_SECONDS: Final = 6.0  # what probes notice at all, they have noticed by then
_ATTEMPTS: Final = 3
_ACT_SECONDS: Final = 30.0  # until a fault that is being done at this moment is done


@dataclass(slots=True)
class Conductor:
    """`prefix` begins the ids of the load's requests; `references` are what is said in its
    clips. `stop` may be called at any time: the drill then restores, reports and ends."""

    drill: Drill
    options: DrillOptions
    breaker: Breaker
    witness: Witness
    load: Load
    prefix: str
    eval_set: str
    references: Mapping[str, str]
    logged_within_seconds: float = 3.0  # until the router has logged what it answered last
    _stop_reason: str | None = None
    _began: float = 0.0
    _scene: Scene | None = None
    _injection: asyncio.Task[None] | None = None
    _restored: bool = False
    _reasons: list[str] = field(default_factory=list)

    def stop(self, reason: str) -> None:
        self._stop_reason = reason

    async def conduct(self) -> Report:
        """Whatever happens, what was broken is mended when this returns, or the report says
        that it is not (`restored`)."""
        self._began = time.time()
        outcome = Outcome.REFUSED
        load = asyncio.create_task(self.load.run())
        try:
            await self._until_steady()
            outcome = await self._break_and_watch()
            await self._restore()  # at once: users may be suffering
            if outcome is not Outcome.STOPPED:
                await self._calm(self.options.calm_seconds)
        except ControllerError as error:
            self._reasons.append(str(error))
            if self._scene is not None and outcome is Outcome.REFUSED:
                outcome = Outcome.FAILED
        finally:
            problem = await self._restore()
            self.load.stop()
            await asyncio.gather(load, return_exceptions=True)
        if problem is not None:
            self._reasons.append(f"what was broken could not be mended: {problem}")
        return await self._report(outcome, problem is None)

    async def _until_steady(self) -> None:
        """Raises Refused where requests fail before anything was broken."""
        until = time.monotonic() + self.options.steady_seconds
        while time.monotonic() < until or not self.load.sent:
            if self._stop_reason is not None:
                raise Refused(f"stopped before anything was broken: {self._stop_reason}")
            if failed := [sent for sent in self.load.sent if not sent.answered]:
                what = failed[0].error or f"status {failed[0].status}"
                raise Refused(f"requests fail before anything was broken: {what}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _break_and_watch(self) -> Outcome:
        scene = await self._set_the_scene()
        targets = [
            await asyncio.to_thread(self.breaker.faults.target, name) for name in sorted(scene.hit)
        ]
        journal = self.breaker.journal
        at = datetime.datetime.now(datetime.UTC).isoformat()
        hit = tuple(sorted(scene.hit))
        await asyncio.to_thread(self.breaker.write, replace(journal, fault_at=at, hit=hit))
        scene.fault_at = time.time()
        self._scene = scene
        self._injection = asyncio.create_task(self.breaker.inject(targets))
        return await self._watch(scene)

    async def _set_the_scene(self) -> Scene:
        """Raises Refused where the drill might not begin any more."""
        status = await self.witness.status()
        if status is None:
            raise Refused("the controller does not answer; nothing was broken")
        situation = situation_of(status)
        supervised = await asyncio.to_thread(is_supervised, self.breaker.state)
        rules = Circumstances(supervised=supervised, during_rollout=self.options.during_rollout)
        if why_not := objections(self.drill, situation, rules):
            raise Refused(f"nothing was broken: {'; '.join(why_not)}")
        if not situation.whole:
            raise Refused("the fleet is not whole any more; nothing was broken")
        return Scene(status, frozenset(victims(self.drill, situation)))

    async def _watch(self, scene: Scene) -> Outcome:
        """Until all is as before, users suffer, somebody stops it, or the time is over."""
        assert self._injection is not None
        bounds = self.options.bounds(self.drill)
        deadline = time.monotonic() + bounds.recover + self.drill.lasts_seconds
        while time.monotonic() < deadline:
            await self.witness.look(scene)
            if self._injection.done() and scene.fault_ended == float("inf"):
                self._injection.result()  # raises Refused where it could not be done
                scene.fault_ended = max(scene.fault_at, time.time() - _LOOK_SECONDS)
            seen = self._seen(scene)
            if (why := self._stop_reason or self._suffering(seen)) is not None:
                self._reasons.append(f"stopped: {why}")
                return Outcome.STOPPED
            quiet = 0.0 if self.drill.is_noticed else _QUIET_SECONDS
            if recovered(seen, self.drill.is_noticed, quiet) is not None:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        return Outcome.PASSED

    def _suffering(self, seen: Observations) -> str | None:
        bounds = self.options.bounds(self.drill)
        return suffering(self.drill, bounds, seen, self.prefix, self._began)

    def _seen(self, scene: Scene) -> Observations:
        return self.witness.observations(scene, self.load.sent)

    async def _calm(self, seconds: float) -> None:
        """Go on sending for a while: what comes late belongs to the drill, too."""
        assert self._scene is not None
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._stop_reason is None:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.witness.look(self._scene)

    async def _restore(self) -> str | None:
        """Why it could not be done: then the journal stays, and the controller tries again."""
        if self._restored:
            return None
        if self._injection is not None:
            self.breaker.stop()
            await asyncio.wait({self._injection}, timeout=_ACT_SECONDS)
        for _ in range(_ATTEMPTS):
            try:
                await self.breaker.restore()
                self._restored = True
                return None
            except ControllerError as error:
                problem = str(error)
                await asyncio.sleep(1.0)
        return problem

    async def _report(self, outcome: Outcome, restored: bool) -> Report:
        bounds, journal = self.options.bounds(self.drill), self.breaker.journal
        numbers = Numbers(requests=len(self.load.sent))
        if self._scene is not None:
            numbers = await self._numbers(self._scene)
            reasons = judge(self.drill, bounds, self._seen(self._scene), numbers)
            self._reasons += reasons
            if outcome is Outcome.PASSED and reasons:
                outcome = Outcome.FAILED
        return Report(
            id=journal.id,
            drill=self.drill.name,
            actor=journal.actor,
            runtime=journal.runtime,
            began_at=journal.began_at,
            ended_at=datetime.datetime.now(datetime.UTC).isoformat(),
            outcome=outcome,
            reasons=tuple(self._reasons),
            fault_at=journal.fault_at,
            hit=journal.hit,
            eval_set=self.eval_set,
            clients=self.options.clients,
            restored=restored,
            numbers=numbers,
            bounds=bounds,
        )

    async def _numbers(self, scene: Scene) -> Numbers:
        """Once the router has logged all that was sent."""
        bounds = self.options.bounds(self.drill)
        deadline = time.monotonic() + self.logged_within_seconds
        sent = {request.request_id for request in self.load.sent if request.status is not None}
        while time.monotonic() < deadline:
            self.witness.read_log()
            if sent <= {request.request_id for request in self.witness.logged}:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        seen, backup = self._seen(scene), backup_nodes(scene.status)
        return numbers_of(self.drill, bounds, seen, self.prefix, backup, self.references)
