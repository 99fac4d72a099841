"""The router: what it is told, and what it says of the requests that it served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from controller.core.routing import Membership, Routing
from controller.engine.records import Served


@dataclass(frozen=True, slots=True)
class RouterState:
    """What the router serves with now. `loaded` is the membership of the newest generation
    that answered; None before the first load. `restarts`: how often another nginx answered than
    before, that this router did not start in the place of a dead one."""

    url: str
    running: bool
    generation: int
    loaded: Membership | None
    routing: Routing | None
    restarts: int = 0


class Router(Protocol):
    """nginx. Raises RouterUnavailable; after ReloadRejected the old configuration serves."""

    def state(self) -> RouterState:
        """From memory; no I/O."""
        ...

    async def left_behind(self) -> Membership | None:
        """What an nginx that does not run any more served with; None where one runs."""
        ...

    async def start(self, membership: Membership, routing: Routing) -> None:
        """Start nginx, or adopt the one that runs (after a crash of the controller), and load."""
        ...

    async def load(self, membership: Membership, routing: Routing) -> None:
        """Render, `nginx -t` the candidate, swap atomically, reload, wait until the new
        generation answers. Where nginx has died: start it with the new configuration."""
        ...

    async def switch(self, routing: Routing) -> None:
        """Write routing.json atomically, then the shared dictionary: milliseconds, no reload."""
        ...

    async def check(self) -> bool:
        """Whether nginx runs and answers on its control socket, within 1 s. `state().running`
        becomes False where it has ended, or was silent several times in a row."""
        ...

    async def stop(self) -> None:
        """Stop nginx gracefully; idempotent."""
        ...


class AccessLog(Protocol):
    """What the router served."""

    @property
    def position(self) -> str | None:
        """How far it was read, for `resume`."""
        ...

    def resume(self, position: str) -> None:
        """Go on where another reader was; else it begins with what is served from now on."""
        ...

    def read(self) -> list[Served]:
        """Each request once, as far as they were served since the last look. Blocking."""
        ...
