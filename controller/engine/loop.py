"""The one loop: observe, advance, save, converge. Commands only record an intent and wake it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from controller.core.advance import Facts, advance, next_action, with_live
from controller.core.cron import frozen_until
from controller.core.desired import Desired, desired, servable
from controller.core.errors import NodeUnavailable, Refused, RouterUnavailable
from controller.core.eval_set import EvalSet
from controller.core.fleet import Fleet, FleetConfig
from controller.core.rollout import Rollout
from controller.core.routing import Membership, Routing
from controller.core.verdict import Verdict
from controller.core.version import Version
from controller.engine.audit import command_event, rollout_events
from controller.engine.commands import State, carry_out, check_start, settle
from controller.engine.gate_keeper import GateKeeper
from controller.engine.gates import Evaluator
from controller.engine.golden import GoldenKeeper
from controller.engine.inbox import Inbox
from controller.engine.jobs import Jobs
from controller.engine.live_keeper import LiveKeeper
from controller.engine.nodes import NodeKeeper
from controller.engine.observer import Observer
from controller.engine.ports import AccessLog, NodeClient, Router, RouterState, Runtime, Store
from controller.engine.preflight import PreflightKeeper
from controller.engine.records import Command, Event, Intent, Outcome
from controller.engine.traffic import Traffic

log = logging.getLogger(__name__)
_EVALUATION_START_SECONDS = 300.0
COMING_UP_SECONDS = 300.0  # of a fleet, from nothing to ready nodes


@dataclass(slots=True)
class Ports:
    """The outside world, as `api` puts it together."""

    store: Store
    runtime: Runtime
    router: Router
    client: NodeClient
    access_log: AccessLog
    eval_set: Callable[[str], EvalSet]  # by name; blocking
    now: Callable[[], datetime.datetime]


@dataclass(slots=True)
class _Memory:
    """What is known only since this controller runs; all of it can be found out again."""

    alarm: str | None = None
    alarm_told: str | None = None
    was_well: bool = False  # at least once
    verdicts_told: tuple[Verdict, ...] = ()  # those that the audit had last
    tick_seconds: float = 0.0
    evaluated: collections.Counter[str] = field(default_factory=collections.Counter)


class Loop:
    """Owns the state. `tick` may be called at any time, any number of times."""

    def __init__(
        self,
        config: FleetConfig,
        versions: dict[str, Version],
        ports: Ports,
    ) -> None:
        self.config = config
        self.versions = versions
        self._ports = ports
        self._wake = asyncio.Event()
        self._ticked = asyncio.Event()
        self.memory = _Memory()
        self.jobs = Jobs(self.wake)
        self.observer = Observer(
            ports.runtime,
            ports.client,
            ports.store,
            config.probes,
            versions,
            self.wake,
            self._golden(),
        )
        self.keeper = NodeKeeper(
            config,
            versions,
            ports.runtime,
            ports.client,
            self.jobs,
            self.observe_soon,
            ending=self.observer.ending,
        )
        self.evaluator = Evaluator(
            ports.store,
            ports.client,
            self.observer.addresses,
            self.observer.digests,
            ports.eval_set,
        )
        self.preflight = PreflightKeeper(
            self.observer, ports.client, ports.store, self.jobs, ports.eval_set, ports.now
        )
        self.gates = GateKeeper(self.evaluator, self.observer, self.jobs)
        self.traffic = Traffic(self._node_at)
        self.live = LiveKeeper(ports.store, ports.access_log)
        self._inbox = Inbox(ports.store)
        self.fleet = Fleet(stable=config.initial_version)
        self.rollout: Rollout | None = None
        self._began_at: datetime.datetime | None = None
        self._failed = False
        self._reading = asyncio.Lock()  # the access log

    # -- what others ask of the loop --------------------------------------------------------

    def wake(self) -> None:
        self._wake.set()

    def observe_soon(self) -> None:
        """Look at the runtime now instead of at the next round."""
        self.jobs.ensure("observe", self.observer.look)

    def _golden(self) -> GoldenKeeper | None:
        check, ports = self.config.golden, self._ports
        return GoldenKeeper(check, ports.eval_set, ports.client, self.jobs) if check else None

    async def submit(self, command: Command, arguments: dict[str, object], actor: str) -> Outcome:
        """Accept a command: it is written down, carried out by the next tick, and answered."""
        answer = await self._inbox.add(command, arguments, actor)
        self.wake()
        return await answer

    async def heartbeat(self) -> None:
        self.wake()

    async def changed(self, timeout_seconds: float) -> None:
        """Return after the next tick, or after the time-out."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._ticked.wait()
        except TimeoutError:
            pass

    def router_state(self) -> RouterState:
        return self._ports.router.state()

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """Of the newest rollout, live ones as they are now."""
        live = () if rollout.ended else self.live.verdicts(rollout)
        return with_live(rollout, live) if live else rollout.verdicts

    def next_action(self, rollout: Rollout) -> str:
        """Of the rollout under way; in words."""
        return next_action(rollout, self._facts(rollout, self._ports.now()))

    def learn(self, version: Version, digest: str | None) -> None:
        """Know a version that was added."""
        self.versions[version.name] = version
        if digest is not None:
            self.observer.digests[version.name] = digest

    @contextlib.asynccontextmanager
    async def evaluated(self, version: str) -> AsyncIterator[None]:
        """Have at least one node of `version` ready, without traffic where it has none yet.

        Raises NodeUnavailable where there is none in time."""
        self.memory.evaluated[version] += 1
        self.wake()
        try:
            async with asyncio.timeout(_EVALUATION_START_SECONDS):
                while not self.observer.addresses(version):
                    if problem := self.keeper.problem(version):
                        raise NodeUnavailable(f"{version} cannot be evaluated: {problem}")
                    await self.changed(timeout_seconds=1.0)
            yield
        except TimeoutError as error:
            raise NodeUnavailable(
                f"{version} cannot be evaluated: no node of it was ready within "
                f"{_EVALUATION_START_SECONDS:g} s; traffic is as it was"
            ) from error
        finally:
            self.memory.evaluated[version] -= 1
            self.wake()

    def desired(self) -> Desired:
        router = self._ports.router.state()
        return desired(
            self.config,
            self.fleet,
            self.rollout,
            self.observer.views(),
            router.routing,
            router.loaded,
            {version for version, users in self.memory.evaluated.items() if users},
        )

    # -- running --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Load the state, find the nodes that run, and start or adopt the router."""
        await self._load()
        await self.observer.look()
        wanted = self.desired()
        await self._ports.router.start(wanted.membership, wanted.routing)
        self.observer.adopt(self._ports.router.state().loaded)
        self._began_at = self._ports.now()
        self.wake()

    async def run(self) -> None:
        """Tick whenever something changed; whoever owns the timers wakes it now and then."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.tick()
            except Exception:  # nothing accepted is lost: the next tick finds it in the store
                log.exception("tick.failed")
                self._failed = True

    async def observe_round(self) -> None:
        self.observe_soon()

    async def observe_traffic(self) -> None:
        """Count what the router served since the last look. One look after the other: two
        at once would read the same lines."""
        async with self._reading:
            share = self._share(self._ports.router.state().routing)
            served = await asyncio.to_thread(self._ports.access_log.read)
            rollout = self.rollout
            under_way = rollout.id if rollout is not None and not rollout.ended else None
            self.traffic.observe(served, share, under_way)
            nodes, health = tuple(self.observer.nodes.values()), self.observer.health
            now = self._ports.now().timestamp()
            await self.live.observe(rollout, served, share, nodes, health, now)

    def _share(self, routing: Routing | None) -> float | None:
        """What requests are counted under: the share that is asked for, in percent. Where
        consent is required that is always 0, and a step is known by the rollout's."""
        if routing is not None and routing.consent_required and self.rollout is not None:
            return self.rollout.reached_percent
        return routing.canary_percent if routing is not None else None

    async def check_router(self) -> None:
        """Start nginx again where it died; it serves by its last configuration."""
        if self.jobs.runs("router.load") or await self._ports.router.check():
            return
        wanted = self.desired()
        log.warning("router.gone")
        self._load_router(wanted.membership, wanted.routing)

    async def close(self) -> None:
        await self.jobs.close()
        async with self._reading:
            await self.live.save()

    async def tick(self) -> None:
        """One round. Waits for nothing but a transaction and the router's switch."""
        began = time.perf_counter()
        if self._failed:
            await self._inbox.read_again()
            self._failed = False
        await self.observer.trust(self._ports.now())
        outcomes: dict[int, Outcome] = {}
        try:
            await self._carry_out_intents(outcomes)
            await self._advance()
            await self._converge(self.desired())
        finally:  # who asked is told when it has taken effect, or cannot
            self._inbox.answer(outcomes)
        self.memory.tick_seconds = time.perf_counter() - began
        self._ticked.set()
        self._ticked.clear()

    # -- the parts of a tick --------------------------------------------------------------

    async def _load(self) -> None:
        saved = await asyncio.to_thread(self._ports.store.load)
        self.observer.digests.update(saved.digests)
        self.rollout = saved.rollout
        if saved.rollout is not None:
            self.memory.verdicts_told = saved.rollout.verdicts
            await self.live.resume(saved.rollout)
        if saved.fleet is not None:
            self.fleet = saved.fleet
        else:
            event = self._event("fleet.created", "fleet", f"{self.fleet.stable} is stable")
            await self._save([event], fleet=self.fleet)
        await self._inbox.read_again()

    async def _carry_out_intents(self, outcomes: dict[int, Outcome]) -> None:
        while intent := self._inbox.first():
            outcomes[intent.id] = await self._carry_out(intent)
            self._inbox.remove(intent)

    async def _carry_out(self, intent: Intent) -> Outcome:
        state = replace(self._state(), earlier=await self._earlier())
        now = self._ports.now()
        try:
            after, message = carry_out(intent, state, now)
        except Refused as refusal:
            outcome = Outcome(str(refusal), refusal)
            event = command_event(intent, str(refusal), self.rollout, now, refused=True)
            await self._save([event], handled=(intent, outcome))
            return outcome
        before = self.rollout if _same(self.rollout, after.rollout) else None
        fleet = settle(before, after.rollout, after.fleet, now)
        outcome = Outcome(message)
        if intent.command == "retry" and after.rollout is not None:
            self.gates.forget(after.rollout.id)
        event = command_event(intent, message, after.rollout, now, refused=False)
        earlier = after.earlier if after.earlier != state.earlier else None
        changed = self._earlier_events(state.earlier, earlier, intent.actor)
        changed += self._rollout_events(after.rollout, intent.actor)
        handled = (intent, outcome)
        await self._save([event, *changed], fleet, after.rollout, handled, earlier)
        self._take(fleet, after.rollout, changed)
        return outcome

    async def _earlier(self) -> Rollout | None:
        """The rollout that made stable what is, where another has begun since."""
        found = await asyncio.to_thread(self._ports.store.promotion_of, self.fleet.stable)
        return None if _same(found, self.rollout) else found

    def _state(self) -> State:
        """A person's word is weighed, and written down, with live verdicts as they are now."""
        rollout = self.rollout
        if rollout is not None:
            rollout = replace(rollout, verdicts=self.verdicts(rollout))
        return State(self.config, self.fleet, rollout, frozenset(self.versions))

    def check_start(self, version: str, force: bool) -> None:
        """Raise Refused now where `start` would be refused anyway, whatever its plan."""
        check_start(self._state(), version, force)

    async def _advance(self) -> None:
        now = self._ports.now()
        before = self.rollout
        after = before
        if before is not None and not before.ended:
            after = advance(before, self._facts(before, now))
        fleet = settle(before, after, self.fleet, now)
        if after == before and fleet == self.fleet:
            return
        events = self._rollout_events(after, "controller")
        await self._save(events, fleet, after)
        self._take(fleet, after, events)

    def _facts(self, rollout: Rollout, now: datetime.datetime) -> Facts:
        needed = self.config.canary_nodes_for(rollout.current_step.percent)
        return Facts(
            now=now,
            observing_since=self._began_at,
            canary_ready=len(self.observer.addresses(rollout.version)),
            canary_needed=needed,
            canary_problem=self.observer.defect(rollout.version)
            or self.keeper.problem(rollout.version),
            preflight_problem=self.preflight.problem(rollout),
            preflight_passed=self.preflight.passed(rollout),
            preflight_waits=self.preflight.waits(rollout),
            preflight_seconds=self.preflight.seconds(rollout),
            frozen_until=frozen_until(rollout.plan.freeze, now),
            thawed_at=frozen_until(
                rollout.plan.freeze,
                now - datetime.timedelta(seconds=rollout.plan.start_deadline_seconds),
            ),
            canary_requests=self.traffic.canary_requests(
                rollout.current_step.percent, opted_in=rollout.plan.asks
            ),
            verdicts=self.gates.verdicts(rollout),
            live_verdicts=self.live.verdicts(rollout),
            evaluation_problem=self.gates.problem(rollout),
        )

    async def _converge(self, wanted: Desired) -> None:
        """Traffic first, then nodes; all that takes time is a job."""
        await self._switch(wanted.routing)
        router = self._ports.router.state()
        if router.loaded != wanted.membership:
            self._load_router(wanted.membership, wanted.routing)
        self.keeper.converge(wanted, self.observer.nodes, self.observer.health, router.loaded)
        self.preflight.converge(self.rollout)
        self.gates.converge(self.rollout)
        await self._tell_alarm(wanted.alarm)

    async def _switch(self, routing: Routing) -> None:
        router = self._ports.router.state()
        target = servable(routing, router.loaded, router.routing)
        loading = self.jobs.runs("router.load")  # it carries the routing of its beginning
        if target is None or (target == router.routing and not loading):
            return
        try:
            await self._ports.router.switch(target)
        except RouterUnavailable as error:
            log.warning("router.switch_failed error=%s", error)
            return
        if target == router.routing:
            return
        log.info("router.switched stable=%s canary=%s percent=%s", target.stable, target.canary,
                 target.canary_percent)  # fmt: skip

    def _load_router(self, membership: Membership, routing: Routing) -> None:
        async def load() -> None:
            await self._ports.router.load(membership, routing)

        self.jobs.ensure("router.load", load)

    async def _tell_alarm(self, alarm: str | None) -> None:
        self.memory.alarm = alarm
        self.memory.was_well = self.memory.was_well or alarm is None
        if alarm == self.memory.alarm_told or self._is_coming_up():
            return
        self.memory.alarm_told = alarm
        kind = "fleet.alarm" if alarm else "fleet.recovered"
        await self._save([self._event(kind, "fleet", alarm or "all pools are as they should be")])

    def _is_coming_up(self) -> bool:
        """A fleet whose nodes still load is no news; one that does not come up is."""
        if self.memory.was_well or self._began_at is None:
            return False
        return (self._ports.now() - self._began_at).total_seconds() < COMING_UP_SECONDS

    def _node_at(self, address: str) -> str | None:
        loaded = self._ports.router.state().loaded
        return loaded.node_at(address) if loaded is not None else None

    # -- saving ---------------------------------------------------------------------------

    def _rollout_events(self, after: Rollout | None, actor: str) -> list[Event]:
        before, now = self.rollout, self._ports.now()
        told = self.memory.verdicts_told if _same(before, after) else ()
        return rollout_events(before, after, told, self.traffic, actor, now)

    def _earlier_events(
        self, before: Rollout | None, after: Rollout | None, actor: str
    ) -> list[Event]:
        """Of a rollout that had ended: no traffic is counted for it, and no gate judged."""
        told = before.verdicts if before is not None else ()
        traffic = Traffic(self._node_at)
        return rollout_events(before, after, told, traffic, actor, self._ports.now())

    def _take(self, fleet: Fleet, rollout: Rollout | None, events: list[Event]) -> None:
        """What was saved is the state now."""
        for event in events:
            log.info("%s id=%s now=%s reason=%s", event.kind, event.subject, event.data["phase"],
                     event.message)  # fmt: skip
            if rollout is not None and event.kind == "rollout.judged":
                self.memory.verdicts_told = rollout.verdicts
        self.fleet, self.rollout = fleet, rollout

    def _event(self, kind: str, subject: str, message: str, actor: str = "controller") -> Event:
        return Event(kind, subject, message, actor, self._ports.now())

    async def _save(
        self,
        events: list[Event],
        fleet: Fleet | None = None,
        rollout: Rollout | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: Rollout | None = None,
    ) -> None:
        await asyncio.to_thread(self._ports.store.save, events, fleet, rollout, handled, earlier)


def _same(before: Rollout | None, after: Rollout | None) -> bool:
    return before is not None and after is not None and before.id == after.id
