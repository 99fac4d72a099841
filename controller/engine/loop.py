"""The one loop: observe, advance, save, converge. Commands only record an intent and wake it."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time

from controller.core.advance import advance
from controller.core.desired import Desired, desired
from controller.core.errors import StoreUnavailable
from controller.core.fleet import Fleet, FleetConfig
from controller.core.rollout import Rollout
from controller.core.step_verdicts import with_live
from controller.core.unwritten import all_on
from controller.core.verdict import Verdict
from controller.core.version import Version
from controller.core.waiting import next_action
from controller.engine.alarm import Alarm
from controller.engine.command_keeper import CommandKeeper
from controller.engine.commands import settle
from controller.engine.evaluated import EvaluatedVersions
from controller.engine.fact_finder import FactFinder
from controller.engine.failover_keeper import FailoverKeeper
from controller.engine.gate_keeper import GateKeeper
from controller.engine.gates import Evaluator
from controller.engine.golden import GoldenKeeper
from controller.engine.inbox import Inbox
from controller.engine.jobs import Jobs
from controller.engine.ledger import Ledger
from controller.engine.live_keeper import LiveKeeper
from controller.engine.measures import Timing, TrafficTotals
from controller.engine.nodes import NodeKeeper
from controller.engine.observer import Observer
from controller.engine.ports import Ports
from controller.engine.ports.router import RouterState
from controller.engine.preflight import PreflightKeeper
from controller.engine.records import Command, Outcome
from controller.engine.review import Review
from controller.engine.review_keeper import ReviewKeeper
from controller.engine.router_keeper import RouterKeeper
from controller.engine.shadow_keeper import ShadowKeeper
from controller.engine.strain_keeper import StrainKeeper
from controller.engine.traffic import Traffic
from controller.engine.traffic_watch import TrafficWatch
from controller.engine.upstreams import Upstreams

log = logging.getLogger(__name__)


class Loop:
    """Owns the state. `tick` may be called at any time, any number of times."""

    def __init__(self, config: FleetConfig, versions: dict[str, Version], ports: Ports) -> None:
        self.config = config
        self.versions = versions
        self._ports = ports
        self._wake = asyncio.Event()
        self._ticked = asyncio.Event()
        self._began_at: datetime.datetime | None = None
        self.tick_seconds = 0.0  # of the last one
        self.ticks = Timing()
        self.jobs = Jobs(self.wake)
        self._keep_state_and_router()
        self._keep_nodes()
        self._measure_versions()
        self._watch_traffic()

    # -- the collaborators, each of one subject -----------------------------------------------

    def _keep_state_and_router(self) -> None:
        ports = self._ports
        self.router = RouterKeeper(
            ports.router, self.jobs, lambda *event: self._ledger.tell(*event)
        )
        self.traffic = Traffic(self.router.node_at)
        first = Fleet(self.config.initial_version)
        self._ledger = Ledger(ports.store, self.traffic, first, ports.now)
        self._inbox = Inbox(ports.store, ports.now)
        self.alarm = Alarm(self._ledger)

    def _keep_nodes(self) -> None:
        config, versions, ports = self.config, self.versions, self._ports
        client, jobs, check = ports.client, self.jobs, config.golden
        golden = GoldenKeeper(check, ports.eval_set, client, jobs) if check is not None else None
        self._upstreams = Upstreams(self.router.node_at)
        self.observer = Observer(
            ports.runtime,
            client,
            ports.store,
            config.probes,
            versions,
            self.wake,
            golden,
            self._upstreams.opinion,
        )
        self.keeper = NodeKeeper(
            config,
            versions,
            ports.runtime,
            client,
            jobs,
            self.observe_soon,
            self._ledger.tell,
            self._upstreams.opinion,
            self.observer.ending,
            looked_at=lambda: self.observer.looked_at,
        )
        self.failover = FailoverKeeper(config, self.observer, self._ledger, ports.now)

    def _measure_versions(self) -> None:
        """By eval sets, by copies of requests, and by people."""
        ports, observer, jobs = self._ports, self.observer, self.jobs
        store, client = ports.store, ports.client
        self.evaluator = Evaluator(
            store, client, observer.addresses, observer.digests, ports.eval_set
        )
        self.evaluated = EvaluatedVersions(observer, self.keeper, self.wake, self.changed)
        self.preflight = PreflightKeeper(observer, client, store, jobs, ports.eval_set, ports.now)
        self.gates = GateKeeper(self.evaluator, observer, jobs)
        self.shadow = ShadowKeeper(store.shadows, observer, client, jobs, ports.now)
        self.review = Review(store.reviews, self.evaluator, ports.now, self.wake)
        self._people = ReviewKeeper(self.review, self.evaluator, jobs)

    def _watch_traffic(self) -> None:
        """And carry out what follows from it, or was asked for."""
        self.live = LiveKeeper()
        self.strain = StrainKeeper()
        self._watch = TrafficWatch(
            self._ports,
            self._ledger,
            self.traffic,
            self.live,
            self.shadow,
            self.strain,
            self.observer,
            self.failover.capacity,
            self._upstreams,
        )
        self._facts = FactFinder(
            self.config,
            self.observer,
            self.keeper,
            self.preflight,
            self.traffic,
            self.gates,
            self.live,
            self.shadow,
            self.strain,
            self._people,
        )
        self._commands = CommandKeeper(
            self.config,
            self.versions,
            self._inbox,
            self._ledger,
            self.gates,
            self._people,
            self.verdicts,
            self._ports.now,
        )

    # -- what others ask of the loop --------------------------------------------------------

    @property
    def fleet(self) -> Fleet:
        return self._ledger.fleet

    @property
    def rollout(self) -> Rollout | None:
        """The newest, ended or not."""
        return self._ledger.rollout

    @property
    def state_problem(self) -> str | None:
        """Why nothing can be written down now, in words."""
        return self._ledger.problem

    def wake(self) -> None:
        self._wake.set()

    def observe_soon(self) -> None:
        """Look at the runtime now instead of at the next round."""
        self.jobs.ensure("observe", self.observer.look)

    async def submit(self, command: Command, arguments: dict[str, object], actor: str) -> Outcome:
        """Accept a command: it is written down, carried out by the next tick, and answered.

        Raises StoreUnavailable; of a rollback, when it has moved traffic all the same."""
        try:
            answer = await self._inbox.add(command, arguments, actor)
        except StoreUnavailable as error:
            self._ledger.failed(error)
            raise
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
        return self.router.state()

    @property
    def totals(self) -> TrafficTotals:
        return self._watch.totals

    def verdicts(self, rollout: Rollout) -> tuple[Verdict, ...]:
        """Of the newest rollout, live ones as they are now."""
        live = () if rollout.ended else self._facts.live_verdicts(rollout)
        return with_live(rollout, live) if live else rollout.verdicts

    def next_action(self, rollout: Rollout) -> str:
        """Of the rollout under way; in words."""
        return next_action(rollout, self._facts.of(rollout, self._began_at, self._ports.now()))

    def learn(self, version: Version, digest: str | None) -> None:
        """Know a version that was added."""
        self.versions[version.name] = version
        if digest is not None:
            self.observer.digests[version.name] = digest

    def check_start(self, version: str, force: bool) -> None:
        """Raise Refused now where `start` would be refused anyway, whatever its plan."""
        self._commands.check_start(version, force)

    def desired(self) -> Desired:
        router = self.router.state()
        wanted = desired(
            self.config,
            self.fleet,
            self.rollout,
            self.observer.views(),
            router.routing,
            router.loaded,
            self.evaluated.names(),
            shares=self.failover.shares,
            held=self.failover.held,
        )
        rolled_back_to = self._ledger.unwritten_stable
        return wanted if rolled_back_to is None else all_on(wanted, rolled_back_to)

    # -- running --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Load the state, find the nodes that run, and start or adopt the router."""
        saved = await self._ledger.load()
        self.observer.digests.update(saved.digests)
        await self._watch.resume()
        await self._people.resume(saved.rollout)
        await self._inbox.catch_up()
        await self.observer.look()
        self.observer.adopt(await self.router.left_behind())
        self._commands.foresee_rollback()
        await self.router.start(self.desired())
        self.observer.adopt(self.router.state().loaded)
        self.failover.resume(self.router.state())
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
                self._inbox.doubt()

    async def observe_round(self) -> None:
        self.observe_soon()

    async def observe_traffic(self) -> None:
        await self._watch.look()

    async def check_router(self) -> None:
        """Start nginx again where it died."""
        if not await self.router.runs():
            self.router.revive(self.desired())

    async def close(self) -> None:
        self.observer.close()
        await self.jobs.close()
        await self._watch.close()

    async def tick(self) -> None:
        """One round. Waits for nothing but a transaction and the router's switch."""
        began = time.perf_counter()
        await self.observer.trust(self._ports.now())
        self.failover.look(self.router.state())
        outcomes: dict[int, Outcome] = {}
        try:
            written = await self._change(outcomes)
            await self._converge(self.desired(), written)
        finally:  # who asked is told when it has taken effect, or cannot
            self._commands.answer(outcomes, self.router.state().routing)
        self.tick_seconds = time.perf_counter() - began
        self.ticks.record(self.tick_seconds)
        self._ticked.set()
        self._ticked.clear()

    # -- the parts of a tick --------------------------------------------------------------

    async def _change(self, outcomes: dict[int, Outcome]) -> bool:
        """The state: what was asked for, then what its time has come for. Where the store cannot
        write (False), the state is as before, the fleet is looked after by that, and the next
        tick tries again."""
        try:
            await self._commands.carry_out(outcomes)
            await self._advance()
        except StoreUnavailable as error:
            self._ledger.failed(error)
            return False
        return True

    async def _advance(self) -> None:
        now = self._ports.now()
        before = self.rollout
        after = before
        if before is not None and not before.ended:
            after = advance(before, self._facts.of(before, self._began_at, now))
        fleet = settle(before, after, self.fleet, now)
        if after != before or fleet != self.fleet:
            await self._ledger.change(fleet, after, "controller")

    async def _converge(self, wanted: Desired, written: bool) -> None:
        """The dead first, whose work is free then; then traffic, then the other nodes. All that
        takes time is a job, and none waits for another."""
        ready = {name for name, view in self.observer.views().items() if view.ready}
        nodes, health, astray = self.observer.nodes, self.observer.health, self.observer.astray()
        self.keeper.fence(wanted, nodes, health, ready, astray)
        await self.router.converge(wanted)
        loaded = self.router.state().loaded
        self.keeper.converge(wanted, self.observer.nodes, self.observer.health, loaded)
        self.preflight.converge(self.rollout)
        self.gates.converge(self.rollout)
        self.shadow.converge(self.rollout)
        self._people.converge(self.rollout)
        began = self._began_at
        running = self._ports.now() - began if began is not None else None
        await self._ledger.catch_up(changed=written)
        await self.failover.tell()
        await self.alarm.tell(wanted.alarm, running)
