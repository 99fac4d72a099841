"""Knows stable's load, what its nodes and the backup's can do, and whether the backup could take
over now. In memory only: a controller that begins anew measures again, and until then it does not
know, which moves no traffic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from controller.core.backup import BackupNode, backup_problem
from controller.core.capacity import Throughput
from controller.core.desired import NodeView, is_backup
from controller.core.fleet import FleetConfig
from controller.core.health import NodeHealth
from controller.engine.records import Served

LASTS_SECONDS: Final = 300.0  # until a problem is told, or its end: models take a while to load
_REFUSED: Final = frozenset({429, 503})


class CapacityKeeper:
    """`load`, `room` of stable's ready nodes and `backup_room` are in seconds of audio per second;
    None: not known. `problem` is why the backup could not take over now, in words."""

    def __init__(self, config: FleetConfig) -> None:
        self._wanted = config.backup_nodes
        self._throughput = Throughput(config.failover.node_seconds_per_second)
        self._differs_since: float | None = None  # from what was told
        self._told = False
        self.load: float | None = None
        self.room: float | None = None
        self.backup_room: float | None = None
        self.problem: str | None = None

    def begin(self, now: float) -> None:
        """Seconds since the epoch, as all times here."""
        self._throughput.begin(now)

    def observe(self, served: Iterable[Served], node_at: Callable[[str], str | None]) -> None:
        """What was served since the last look."""
        for request in served:
            if not request.attempts:
                continue
            node = node_at(request.attempts[-1][0])
            if request.audio_seconds and request.model_seconds and node is not None:
                self._throughput.worked(node, request.audio_seconds, request.model_seconds)
            if request.pool != "stable":
                continue
            if request.audio_seconds is not None:
                self._throughput.answered(request.at, request.audio_seconds)
            elif request.kept or request.status in _REFUSED:
                self._throughput.refused(request.at)

    def measure(
        self,
        now: float,
        nodes: Collection[str],
        members: Collection[str],
        backups: Collection[str],
        known: Collection[str],
    ) -> None:
        """`nodes` are those of stable, of which `members` take its traffic; `backups` the ready
        ones of the backup with the same version; `known` all that there are."""
        self._throughput.forget_others(known)
        self.load = self._throughput.load(now)
        self.room = self._throughput.room(members, alike=(*nodes, *backups))
        self.backup_room = self._throughput.room(backups, alike=nodes)

    def check_backup(
        self,
        now: float,
        stable: str,
        digest: str | None,
        views: Mapping[str, NodeView],
        health: Mapping[str, NodeHealth],
        helps: bool,
    ) -> tuple[str, str] | None:
        """Whether it could take over; kind and message of an event once that is news. No news as
        long as it `helps` already."""
        nodes = [_node(view, health) for view in views.values() if is_backup(view.name)]
        self.problem = backup_problem(
            self._wanted, stable, digest, nodes, self.load, self.backup_room
        )
        bad = self.problem is not None and self._wanted > 0
        if helps or bad == self._told:
            self._differs_since = None
            return None
        if self._differs_since is None:
            self._differs_since = now
        if now - self._differs_since < LASTS_SECONDS:
            return None
        self._told, self._differs_since = bad, None
        if self.problem is not None:
            return "backup.problem", f"the backup could not take over now: {self.problem}"
        return "backup.mended", "the backup could take over again"


def _node(view: NodeView, health: Mapping[str, NodeHealth]) -> BackupNode:
    known = health.get(view.name)
    if known is None:
        return BackupNode(view.name, view.version, view.ready, reason="not started yet")
    return BackupNode(view.name, view.version, view.ready, known.digest, known.reason)
