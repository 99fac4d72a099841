"""The nginx that runs: what it answers, and how a generation takes effect in it."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from controller.adapters import routing_switch
from controller.adapters.files import last_lines
from controller.adapters.nginx import door
from controller.adapters.nginx.generations import Generations
from controller.adapters.nginx.launcher import Launcher
from controller.adapters.nginx.places import Places
from controller.adapters.nginx.settings import RouterSettings
from controller.core.errors import ReloadRejected, RouterUnavailable

log = logging.getLogger(__name__)
STOP_SECONDS: Final = 10.0
_LOAD_SECONDS: Final = 15.0
_LEAST_LOOKS: Final = 10  # at a silent nginx: of a controller that stood still time says nothing
_SETTLED_SECONDS: Final = 0.2  # old workers may accept for 0.1 s more after new ones came


class RunningNginx:
    """Blocking: the router calls it in threads."""

    def __init__(
        self,
        settings: RouterSettings,
        launcher: Launcher,
        generations: Generations,
        places: Places,
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._generations = generations
        self._places = places

    def take_effect(self, number: int, running: bool) -> bool:
        """Have nginx serve by a generation; it is started where it is not `running`, or hangs.
        Whether it was started.

        Raises ReloadRejected where the generation does not answer, RouterUnavailable."""
        before = self._generations.published()
        self._generations.publish(number)
        if running:
            self._reload()
        else:
            self._launcher.start()
        is_in_effect = self._wait_for(number)
        is_replaced = running and is_in_effect is None
        if is_replaced:
            self._launcher.replace(self._grace_seconds())
            is_in_effect = self._wait_for(number)
        if not is_in_effect:
            self._generations.restore(before)
            raise ReloadRejected(
                f"generation {number} did not answer within {_LOAD_SECONDS:.0f} s; nginx says: "
                f"{last_lines(self._places.error_log) or 'nothing'}; what it served before still "
                f"serves"
            )
        return is_replaced or not running

    def _reload(self) -> None:
        """Raises RouterUnavailable, unless it runs and is silent: frozen, it takes no signal."""
        try:
            self._launcher.reload()
        except RouterUnavailable:
            if not self._launcher.is_running() or self.inspect() is not None:
                raise

    def _grace_seconds(self) -> float:
        """What an nginx that is silent to us gets to end: nothing where clients get no answer,
        either, for then it hangs, and takes no signal but KILL."""
        if door.answers(self._settings.host, self._settings.port):
            log.warning("router.control_socket_lost")
            return STOP_SECONDS
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
        value = self.inspect()
        return None if value is None else int(value["generation"])

    def inspect(self) -> dict[str, Any] | None:
        """What it serves with; None where it does not say so at once."""
        try:
            return routing_switch.inspect(self._places.control_socket, timeout_seconds=0.9)
        except RouterUnavailable:
            return None

    def first_answer(self) -> dict[str, Any] | None:
        """As `inspect`, with the patience that a start gets."""
        deadline = time.monotonic() + _LOAD_SECONDS
        looks = 1
        while (value := self.inspect()) is None:  # a busy machine must not cost it its nodes
            if time.monotonic() > deadline and looks >= _LEAST_LOOKS:
                break
            looks += 1
            time.sleep(0.1)
        return value
