"""Keeps the router as it is wanted: its routing at once, its membership by a reload as a job."""

from __future__ import annotations

import asyncio
import logging
import time

from controller.core.desired import Desired, servable
from controller.core.errors import RouterUnavailable
from controller.core.routing import Membership, Routing
from controller.engine.jobs import Jobs
from controller.engine.nodes import Tell
from controller.engine.pace import Pace
from controller.engine.ports.router import Router, RouterState

log = logging.getLogger(__name__)
_LOADING = "router.load"
# Each reload leaves the old workers for as long as they have kept connections (20 s) or streams:
# in a storm of changes their number, and their memory, must have a bound.
_LOADS_AT_ONCE = 5
_SECONDS_A_LOAD = 2.0


async def nobody(_kind: str, _subject: str, _message: str) -> None:
    """For whom nothing is to be told."""


class RouterKeeper:
    def __init__(self, router: Router, jobs: Jobs, tell: Tell = nobody) -> None:
        self._router = router
        self._jobs = jobs
        self._tell = tell
        self.pace = Pace(_LOADS_AT_ONCE, _SECONDS_A_LOAD)
        self.revival_pace = Pace(_LOADS_AT_ONCE, _SECONDS_A_LOAD)  # not used up by loads
        self._checking = asyncio.Lock()
        self.loads = 0  # since this controller began, as the next two
        self.loads_failed = 0
        self.revivals = 0  # of an nginx that had died, by us or by others
        self._restarts = 0  # by others, that are told
        self._gone_since: float | None = None  # monotonic: when it was first seen

    def state(self) -> RouterState:
        return self._router.state()

    async def left_behind(self) -> Membership | None:
        """The nodes of an nginx that died while no controller ran: those of them that still run
        are to serve at once, as they would have if it had not."""
        return await self._router.left_behind()

    async def start(self, wanted: Desired) -> None:
        """Start the router, or adopt the one that runs."""
        await self._router.start(wanted.membership, wanted.routing)

    async def converge(self, wanted: Desired) -> None:
        await self._switch(wanted.routing)
        if self.state().loaded == wanted.membership or self._jobs.runs(_LOADING):
            return
        if self.pace.take():  # else with what else has changed until the next tick
            self._load(wanted.membership, wanted.routing)

    async def runs(self) -> bool:
        """False where nginx died, or has not answered for some time."""
        async with self._checking:  # two at once would count one silence twice
            if self._jobs.runs(_LOADING):
                return True
            answers = await self._router.check()
            self._notice_restarts()
            return answers or self.state().running

    def revive(self, wanted: Desired) -> None:
        """At once, but an nginx that cannot start is not tried at every check."""
        if self._jobs.runs(_LOADING) or not self.revival_pace.take():
            return
        log.warning("router.gone")
        self.revivals += 1
        if self._gone_since is None:
            self._gone_since = time.monotonic()
        self._load(wanted.membership, wanted.routing)

    def node_at(self, address: str) -> str | None:
        loaded = self.state().loaded
        return loaded.node_at(address) if loaded is not None else None

    async def _switch(self, routing: Routing) -> None:
        state = self.state()
        target = servable(routing, state.loaded, state.routing)
        loading = self._jobs.runs(_LOADING)  # it carries the routing of its beginning
        if target is None or (target == state.routing and not loading):
            return
        try:
            await self._router.switch(target)
        except RouterUnavailable as error:
            log.warning("router.switch_failed error=%s", error)
            return
        if target == state.routing:
            return
        log.info("router.switched stable=%s canary=%s percent=%s", target.stable, target.canary,
                 target.canary_percent)  # fmt: skip

    def _load(self, membership: Membership, routing: Routing) -> None:
        async def load() -> None:
            self.loads += 1
            try:
                await self._router.load(membership, routing)
            except Exception:
                self.loads_failed += 1
                raise
            self._serves()

        self._jobs.ensure(_LOADING, load)

    def _serves(self) -> None:
        """Where nginx had been gone, tell it."""
        if self._gone_since is None:
            return
        seconds, self._gone_since = time.monotonic() - self._gone_since, None
        self._restarts = self.state().restarts
        self._tell_restart(
            f"nginx had died, or answered no more, and serves again {seconds:.1f} s after that was "
            f"seen"
        )

    def _notice_restarts(self) -> None:
        """By others, such as Docker, between two looks."""
        if self._gone_since is not None or self.state().restarts == self._restarts:
            return
        self._restarts = self.state().restarts
        self.revivals += 1
        self._tell_restart("nginx had died, and was started again before that was seen")

    def _tell_restart(self, what: str) -> None:
        """As a job, so that no check waits for the store."""
        message = (
            f"{what}; connections of workers that died with it were cut, and requests on them got "
            f"no answer"
        )

        async def told() -> None:
            await self._tell("router.restarted", "router", message)

        self._jobs.ensure(f"router.restarted:{self.revivals}", told)
