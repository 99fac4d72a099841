"""Watches what the controller says and what the router logs, while a drill goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from controller.adapters.nginx.access_log import AccessLogReader, Request
from controller.adapters.state_folder import StateFolder
from controller.core.drill.catalogue import Drill, Fault
from controller.core.drill.measures import Attempt, Logged, Look, Observations, Sent
from controller.core.drill.situation import Situation, situation_of

_ANSWER_SECONDS: Final = 2.0


@dataclass(slots=True)
class Scene:
    """The moment before the fault: who is hit, by name, and what the status said."""

    status: Mapping[str, Any]
    hit: frozenset[str] = frozenset()
    fault_at: float = float("inf")  # seconds since the epoch, as all times here
    fault_ended: float = float("inf")

    @property
    def addresses(self) -> frozenset[str]:
        urls = (n["url"] for n in _nodes(self.status) if n["name"] in self.hit and n["url"])
        return frozenset(urlsplit(url).netloc for url in urls)


@dataclass(slots=True)
class Witness:
    """`folder` names controller and router."""

    folder: StateFolder
    drill: Drill
    looks: list[Look] = field(default_factory=list)
    logged: list[Logged] = field(default_factory=list)
    _log: AccessLogReader = field(init=False)

    def __post_init__(self) -> None:
        self._log = AccessLogReader(self.folder.router_dir / "access.log")
        self._log.skip()

    async def status(self) -> dict[str, Any] | None:
        """None where no controller answers."""
        address = self.folder.address()
        if address is None:
            return None
        headers = {"Authorization": f"Bearer {self.folder.token()}"}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_SECONDS) as client:
                answer = await client.get(f"{address.url}/api/status", headers=headers)
                return dict(answer.json()) if answer.is_success else None
        except (httpx.HTTPError, ValueError):
            return None

    async def look(self, scene: Scene) -> None:
        """At the status and at what was logged since the last look."""
        status, at = await self.status(), time.time()
        situation = situation_of(status) if status is not None else None
        whole = situation is not None and situation.whole
        self.looks.append(Look(at, self._is_hurt(scene, status, situation), whole))
        self.read_log()

    def read_log(self) -> None:
        self.logged += [_logged(request) for request in self._log.read()]

    def observations(self, scene: Scene, sent: list[Sent]) -> Observations:
        return Observations(
            scene.fault_at,
            scene.fault_ended,
            scene.hit,
            scene.addresses,
            tuple(sent),
            tuple(self.logged),
            tuple(self.looks),
        )

    def _is_hurt(
        self, scene: Scene, status: Mapping[str, Any] | None, situation: Situation | None
    ) -> bool:
        """Whether the controller shows that it knows of the fault, or does not answer."""
        if status is None or situation is None:
            return True
        if self.drill.fault is Fault.ROUTER:
            before, now = scene.status["router"], status["router"]
            return not now["running"] or now["generation"] != before["generation"]
        return _state(status, scene.hit) != _state(scene.status, scene.hit)


def _state(status: Mapping[str, Any], names: frozenset[str]) -> dict[str, tuple[Any, Any]]:
    """Health and start of these nodes: a node that was started again has another."""
    nodes = (node for node in _nodes(status) if node["name"] in names)
    return {node["name"]: (node["health"], node["started_at"]) for node in nodes}


def _nodes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [node for pool in status["pools"].values() for node in pool["nodes"]]


def backup_nodes(status: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(node["name"] for node in status["pools"]["backup"]["nodes"])


def _logged(request: Request) -> Logged:
    attempts = tuple(Attempt(a.address, a.status, a.seconds) for a in request.attempts)
    return Logged(request.request_id, request.at, request.seconds, request.status, attempts)
