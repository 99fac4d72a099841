"""The second opinion on a probe's word: what the router made of each node lately."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from controller.core.health import Witness
from controller.engine.records import Served

_UNREACHED: Final = frozenset({502, 504})  # nginx's own words for an attempt
_STREAM: Final = 101  # logged when it ends, also where the client ended it


class Upstreams:
    """Of the access log: when a node was last seen to answer, and to fail. Facts of this
    controller's life."""

    def __init__(self, node_at: Callable[[str], str | None]) -> None:
        self._node_at = node_at
        self._answered: dict[str, float] = {}  # by node, in seconds since the epoch
        self._failed: dict[str, float] = {}

    def observe(self, served: Iterable[Served]) -> None:
        for request in served:
            if request.client_left:
                continue
            *earlier, last = request.attempts or [("", None)]
            for address, status in earlier:  # then others may have worked on it for long
                self._take(address, status, request.at - request.waited_seconds)
            self._take(*last, request.at)

    def opinion(self, node: str, since: float) -> Witness:
        """The latest that was seen since then, in seconds since the epoch."""
        answered, failed = self._answered.get(node, 0.0), self._failed.get(node, 0.0)
        if max(answered, failed) < since:
            return Witness.NOTHING
        return Witness.ALIVE if answered > failed else Witness.DEAD

    def _take(self, address: str, status: int | None, at: float) -> None:
        node = self._node_at(address)
        if node is None or status is None or status == _STREAM:
            return
        seen = self._failed if status in _UNREACHED else self._answered
        seen[node] = max(at, seen.get(node, 0.0))
