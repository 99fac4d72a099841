"""nginx behind the Router port: render, test, swap, reload; and switch without any of these."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.nginx.generations import Generations
from controller.adapters.nginx.last_asked import LastAskedWins
from controller.adapters.nginx.launcher import Launcher
from controller.adapters.nginx.nginx_version import check_build
from controller.adapters.nginx.places import Places
from controller.adapters.nginx.render import CONFIG, render
from controller.adapters.nginx.running import STOP_SECONDS, RunningNginx
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import InvalidConfig, ReloadRejected
from controller.core.routing import Membership, Routing
from controller.engine.ports.router import RouterState

log = logging.getLogger(__name__)
_SILENT_CHECKS: Final = 4  # in a row; what is merely slow must not be started again


class NginxRouter:
    """Implements the Router port. One object for one `run_dir`; blocking work is in threads."""

    def __init__(self, settings: RouterSettings, launcher: Launcher) -> None:
        self._settings = settings
        self._launcher = launcher
        self._run_dir = settings.run_dir.absolute()
        self._places = Places(self._run_dir, launcher.config_root)
        self._generations = Generations(self._run_dir)
        self._running = RunningNginx(settings, launcher, self._generations, self._places)
        self._loading = asyncio.Lock()
        self._order = LastAskedWins()
        self._checked_build = False
        self._silent = 0  # checks in a row
        self._begun: str | None = None  # what the nginx that runs calls its beginning
        self._unwritten: Routing | None = None  # it holds, but is not yet what a restart reads
        self._state = RouterState(settings.url, False, 0, None, None)

    def state(self) -> RouterState:
        return self._state

    async def left_behind(self) -> Membership | None:
        return await asyncio.to_thread(self._left_behind)

    async def start(self, membership: Membership, routing: Routing) -> None:
        """Start nginx, or adopt the one that runs, and load.

        A controller that comes back knows no node to be ready yet. An adopted nginx then keeps
        the nodes and the routing that it has: traffic flowed without us, and goes on."""
        adopted = await asyncio.to_thread(self._adopted)
        if adopted is not None and not membership.groups:
            membership, routing = adopted
        await self.load(membership, routing)

    async def load(self, membership: Membership, routing: Routing) -> None:
        ticket = self._order.ticket()
        async with self._loading:
            try:
                await asyncio.to_thread(self._load, membership, routing, ticket)
            except Exception:
                await asyncio.to_thread(self._launcher.let_go)
                raise

    async def switch(self, routing: Routing) -> None:
        ticket = self._order.ticket()
        await asyncio.to_thread(self._switch, routing, ticket)

    async def check(self) -> bool:
        running, answers = await asyncio.to_thread(self._look)
        self._silent = 0 if answers else self._silent + 1
        running = running and self._silent < _SILENT_CHECKS
        self._state = replace(self._state, running=running)
        return running and answers

    async def stop(self) -> None:
        async with self._loading:
            await asyncio.to_thread(self._launcher.stop, STOP_SECONDS)
            routing_switch.forget_sockets(self._run_dir)
            self._state = replace(self._state, running=False)

    async def rotate_logs(self, largest_bytes: int = 0) -> None:
        """Move logs that are larger to access.log.1 and error.log.1, and have nginx begin new
        ones."""
        await asyncio.to_thread(self._rotate_logs, largest_bytes)

    @property
    def access_log(self) -> Path:
        return self._places.access_log

    @property
    def spool_socket(self) -> Path:
        """Where nginx finds the spool, as we see it."""
        return self._places.spool_socket

    # -- loading --------------------------------------------------------------------------

    def _load(self, membership: Membership, routing: Routing, ticket: int) -> None:
        self._check_build()
        self._generations.create()
        self._places.begun_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        running = self._launcher.is_running()
        number = self._generations.next(self._state.generation)
        try:
            if not running or routing_switch.read_routing(self._run_dir) is None:
                self._order.run(ticket, lambda: self._write(routing))
            self._write_candidate(number, membership, routing)
        except (ReloadRejected, InvalidConfig, OSError):
            if not running:
                self._serve_last_good()
            raise
        running = self._launcher.is_running()  # Docker may have started it again meanwhile
        if self._running.take_effect(number, running):
            self._begun = None  # by us, which is no news
        self._generations.prune(number)
        self._state = replace(self._state, running=True, generation=number, loaded=membership)
        self._switch(routing, ticket)
        self._order.run_apart(lambda: self._notice(self._running.inspect()))
        log.info("router.loaded generation=%s groups=%s", number, sorted(membership.group_names()))

    def _check_build(self) -> None:
        if not self._checked_build:
            check_build(self._launcher.build_info())
            self._checked_build = True

    def _write_candidate(self, number: int, membership: Membership, routing: Routing) -> None:
        """Raises ReloadRejected, and leaves nothing of it, where nginx does not take it."""
        secrets = self._generations.secrets(self._settings.jwt_key_file)
        place = self._places.seen(self._generations.path(number))
        files = render(membership, routing, self._settings, place, number, secrets)
        self._generations.write(number, files, membership)
        problem = self._objection(number)
        if problem is not None:
            self._generations.drop(number)
            raise ReloadRejected(
                f"nginx rejected generation {number}: {problem}; the previous configuration "
                f"still serves"
            )

    def _objection(self, number: int) -> str | None:
        """What nginx says against a generation."""
        folder = self._places.seen(self._generations.path(number)).folder
        return self._launcher.test(Path(folder) / CONFIG)

    def _serve_last_good(self) -> None:
        """Start an nginx that died with the newest configuration that it takes."""
        for number in self._generations.newest_first():
            if self._objection(number) is None:
                self._running.take_effect(number, running=False)
                loaded = self._generations.membership(number)
                self._state = replace(self._state, running=True, generation=number, loaded=loaded)
                log.warning("router.serves_last_good generation=%s", number)
                return

    # -- switching ------------------------------------------------------------------------

    def _switch(self, routing: Routing, ticket: int) -> None:
        self._order.run(ticket, lambda: self._apply(routing))

    def _write(self, routing: Routing) -> None:
        routing_switch.write_routing(self._run_dir, routing.to_dict())

    def _apply(self, routing: Routing) -> None:
        """Traffic moves also where the disk is full; what was not written down is later."""
        try:
            self._write(routing)
            self._unwritten = None
        except OSError as error:
            log.warning("router.routing_not_written error=%s", error)
            self._unwritten = routing
        routing_switch.switch(self._places.control_socket, routing.to_dict())
        self._state = replace(self._state, routing=routing)

    def _write_what_is_missing(self) -> None:
        if self._unwritten is not None:
            with contextlib.suppress(OSError):
                self._write(self._unwritten)
                self._unwritten = None

    # -- the nginx that runs --------------------------------------------------------------

    def _adopted(self) -> tuple[Membership, Routing] | None:
        """What a running nginx of ours serves with; of a silent one, what the disk says."""
        if not self._launcher.is_running():
            return None
        value = self._running.first_answer()
        if value is None:
            return self._written_down()
        generation = int(value["generation"])
        membership = self._generations.membership(generation)
        routing = Routing.from_dict(value["routing"])
        self._state = RouterState(self._settings.url, True, generation, membership, routing)
        log.info("router.adopted generation=%s", generation)
        return None if membership is None else (membership, routing)

    def _left_behind(self) -> Membership | None:
        found = None if self._launcher.is_running() else self._written_down()
        return found[0] if found is not None else None

    def _written_down(self) -> tuple[Membership, Routing] | None:
        self._generations.create()
        known = map(self._generations.membership, self._generations.newest_first())
        membership = next(filter(None, known), None)
        routing = routing_switch.read_routing(self._run_dir)
        if membership is None or routing is None:
            return None
        return membership, Routing.from_dict(routing)

    def _look(self) -> tuple[bool, bool]:
        """Whether there is an nginx, and whether it answers. Workers that lost their master
        answer, too."""
        self._order.run_apart(self._write_what_is_missing)
        running = self._launcher.is_running()
        answer = self._running.inspect() if running else None
        self._order.run_apart(lambda: self._notice(answer))
        return running, answer is not None

    def _notice(self, answer: dict[str, Any] | None) -> None:
        """Another nginx than before, as Docker starts one between two looks, routes by what was
        written down, which on a full disk is not what was asked for last."""
        begun = answer.get("begun") if answer is not None else None
        if answer is None or begun is None or begun == self._begun:
            return
        before, self._begun = self._begun, begun
        if before is not None:
            routing, restarts = Routing.from_dict(answer["routing"]), self._state.restarts + 1
            self._state = replace(self._state, routing=routing, restarts=restarts)

    def _rotate_logs(self, largest_bytes: int) -> None:
        logs = (self._places.access_log, self._places.error_log)
        large = [path for path in logs if path.exists() and path.stat().st_size > largest_bytes]
        for path in large:
            path.replace(path.with_name(f"{path.name}.1"))
        if large:
            self._launcher.reopen_logs()
