"""nginx behind the Router port: render, test, swap, reload; and switch without any of these."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.nginx import door
from controller.adapters.nginx.generations import Generations
from controller.adapters.nginx.launcher import Launcher
from controller.adapters.nginx.nginx_version import check_build
from controller.adapters.nginx.render import CONFIG, Place, render
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import InvalidConfig, ReloadRejected, RouterUnavailable
from controller.core.routing import Membership, Routing
from controller.engine.ports.router import RouterState

log = logging.getLogger(__name__)
SPOOL_SOCKET: Final = "spool.sock"
_LOAD_SECONDS: Final = 15.0
_LEAST_LOOKS: Final = 10  # at a silent nginx: of a controller that stood still time says nothing
_SETTLED_SECONDS: Final = 0.2  # old workers may accept for 0.1 s more after new ones came
_STOP_SECONDS: Final = 10.0
_SILENT_CHECKS: Final = 4  # in a row; what is merely slow must not be started again


class NginxRouter:
    """Implements the Router port. One object for one `run_dir`; blocking work is in threads."""

    def __init__(self, settings: RouterSettings, launcher: Launcher) -> None:
        self._settings = settings
        self._launcher = launcher
        self._run_dir = settings.run_dir.absolute()
        self._generations = Generations(self._run_dir)
        self._loading = asyncio.Lock()
        self._order = _LastAskedWins()
        self._checked_build = False
        self._silent = 0  # checks in a row
        self._unwritten: Routing | None = None  # it holds, but is not yet what a restart reads
        self._state = RouterState(settings.url, False, 0, None, None)

    def state(self) -> RouterState:
        return self._state

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
            await asyncio.to_thread(self._load, membership, routing, ticket)

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
            await asyncio.to_thread(self._launcher.stop, _STOP_SECONDS)
            routing_switch.forget_sockets(self._run_dir)
            self._state = replace(self._state, running=False)

    async def rotate_logs(self, largest_bytes: int = 0) -> None:
        """Move logs that are larger to access.log.1 and error.log.1, and have nginx begin new
        ones."""
        await asyncio.to_thread(self._rotate_logs, largest_bytes)

    @property
    def access_log(self) -> Path:
        return self._run_dir / "access.log"

    @property
    def _error_log(self) -> Path:
        return self._run_dir / "error.log"

    @property
    def spool_socket(self) -> Path:
        """Where nginx finds the spool, as we see it: beside the control socket, and in the folder
        that is shared with a container."""
        folder = self._run_dir if self._is_contained else self._begun_socket.parent
        return folder / SPOOL_SOCKET

    @property
    def _is_contained(self) -> bool:
        return self._launcher.config_root != self._run_dir

    @property
    def _begun_socket(self) -> Path:
        """Where a new nginx begins to listen for us, as we see it."""
        return routing_switch.begun_socket(self._run_dir)

    @property
    def _socket(self) -> Path:
        """The control socket as we see it."""
        return routing_switch.control_socket(self._run_dir)

    # -- loading --------------------------------------------------------------------------

    def _load(self, membership: Membership, routing: Routing, ticket: int) -> None:
        self._check_build()
        self._generations.create()
        self._begun_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        self._take_effect(number, running)
        self._generations.prune(number)
        self._state = replace(self._state, running=True, generation=number, loaded=membership)
        self._switch(routing, ticket)
        log.info("router.loaded generation=%s groups=%s", number, sorted(membership.group_names()))

    def _check_build(self) -> None:
        if not self._checked_build:
            check_build(self._launcher.build_info())
            self._checked_build = True

    def _write_candidate(self, number: int, membership: Membership, routing: Routing) -> None:
        """Raises ReloadRejected, and leaves nothing of it, where nginx does not take it."""
        secrets = self._generations.secrets(self._settings.jwt_key_file)
        place = self._place(number)
        files = render(membership, routing, self._settings, place, number, secrets)
        self._generations.write(number, files, membership)
        problem = self._launcher.test(Path(place.folder) / CONFIG)
        if problem is not None:
            self._generations.drop(number)
            raise ReloadRejected(
                f"nginx rejected generation {number}: {problem}; the previous configuration "
                f"still serves"
            )

    def _serve_last_good(self) -> None:
        """Start an nginx that died with the newest configuration that it takes."""
        for number in self._generations.newest_first():
            if self._launcher.test(Path(self._place(number).folder) / CONFIG) is None:
                self._take_effect(number, running=False)
                loaded = self._generations.membership(number)
                self._state = replace(self._state, running=True, generation=number, loaded=loaded)
                log.warning("router.serves_last_good generation=%s", number)
                return

    def _place(self, number: int) -> Place:
        """Our paths as nginx sees them."""
        root = self._launcher.config_root
        folder = root / self._generations.path(number).relative_to(self._run_dir)
        if self._is_contained:
            return Place(root, folder, root / routing_switch.SOCKET, root / SPOOL_SOCKET)
        return Place(root, folder, self._begun_socket, self.spool_socket, _root_user())

    def _take_effect(self, number: int, running: bool) -> None:
        before = self._generations.published()
        self._generations.publish(number)
        if running:
            self._reload()
        else:
            self._launcher.start()
        is_in_effect = self._wait_for(number)
        if running and is_in_effect is None:
            self._launcher.stop(self._grace_seconds())
            self._take_effect(number, running=False)
        elif not is_in_effect:
            self._generations.restore(before)
            raise ReloadRejected(
                f"generation {number} did not answer within {_LOAD_SECONDS:.0f} s; nginx says: "
                f"{_last_line(self._error_log)}; what it served before still serves"
            )

    def _reload(self) -> None:
        """Raises RouterUnavailable, unless it runs and is silent: frozen, it takes no signal."""
        try:
            self._launcher.reload()
        except RouterUnavailable:
            if not self._launcher.is_running() or self._inspect() is not None:
                raise

    def _grace_seconds(self) -> float:
        """What an nginx that is silent to us gets to end: nothing where clients get no answer,
        either, for then it hangs, and takes no signal but KILL."""
        if door.answers(self._settings.host, self._settings.port):
            log.warning("router.control_socket_lost")
            return _STOP_SECONDS
        log.warning("router.hangs")
        return 0.0

    def _wait_for(self, number: int) -> bool | None:
        """Until the new generation answers, and no old worker takes connections any more; None
        where in all that time nobody answered, not even an old one."""
        deadline = time.monotonic() + _LOAD_SECONDS
        since: float | None = None
        answered = False
        looks = 0
        while time.monotonic() < deadline or looks < _LEAST_LOOKS:
            looks += 1
            generation = self._generation_that_answers()
            answered = answered or generation is not None
            if generation != number:
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > _SETTLED_SECONDS:
                return True
            time.sleep(0.01)
        return False if answered else None

    def _generation_that_answers(self) -> int | None:
        value = self._inspect()
        return None if value is None else int(value["generation"])

    def _inspect(self) -> dict[str, Any] | None:
        try:
            return routing_switch.inspect(self._socket, timeout_seconds=0.9)
        except RouterUnavailable:
            return None

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
        routing_switch.switch(self._socket, routing.to_dict())
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
        value = self._first_answer()
        if value is None:
            return self._written_down()
        generation = int(value["generation"])
        membership = self._generations.membership(generation)
        routing = Routing.from_dict(value["routing"])
        self._state = RouterState(self._settings.url, True, generation, membership, routing)
        log.info("router.adopted generation=%s", generation)
        return None if membership is None else (membership, routing)

    def _first_answer(self) -> dict[str, Any] | None:
        deadline = time.monotonic() + _LOAD_SECONDS
        looks = 1
        while (value := self._inspect()) is None:  # a busy machine must not cost it its nodes
            if time.monotonic() > deadline and looks >= _LEAST_LOOKS:
                break
            looks += 1
            time.sleep(0.1)
        return value

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
        return running, running and self._inspect() is not None

    def _rotate_logs(self, largest_bytes: int) -> None:
        logs = (self.access_log, self._error_log)
        large = [path for path in logs if path.exists() and path.stat().st_size > largest_bytes]
        for path in large:
            path.replace(path.with_name(f"{path.name}.1"))
        if large:
            self._launcher.reopen_logs()


class _LastAskedWins:
    """A load takes seconds and carries the routing of its beginning; a rollback that is asked
    for meanwhile must neither wait for it nor be undone by it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given = 0
        self._done = 0

    def ticket(self) -> int:
        with self._lock:
            self._given += 1
            return self._given

    def run(self, ticket: int, action: Callable[[], None]) -> None:
        """Do it, unless something that was asked for later is done already."""
        with self._lock:
            if ticket >= self._done:
                self._done = ticket
                action()

    def run_apart(self, action: Callable[[], None]) -> None:
        """Do it, while nothing else is done."""
        with self._lock:
            action()


def _root_user() -> tuple[str, str] | None:
    """Root's name and group where we are root: nginx would give its workers to `nobody`, who
    could not store an upload in our closed folder."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            return file.read().decode(errors="replace").strip().rpartition("\n")[2]
    except FileNotFoundError:
        return "nothing"
