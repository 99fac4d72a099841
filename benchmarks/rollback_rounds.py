"""Rollbacks one after another, in situations that are not the easy one."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import socket
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from benchmarks.fleet import BenchFleet, FleetFailed
from benchmarks.load_process import LoadProcess
from benchmarks.records import Record

# Canary requests must come often enough to tell milliseconds: paced audio alone would bring one
# in half a second, and a rollback would nearly always look as if it took no time at all.
_METRONOME: Final = ("--light", "--distinct-keys", "--clients", "10", "--interval", "0.1")
_METRONOME_REQUESTS: Final = 60
_SETTLE_SECONDS: Final = 1.5

# Three canaries in turn: while one drains and one loads, a third is gone for good.
VERSIONS: Final = {"v1": "demo-v1", "v2": "demo-v2", "v3": "demo-v3", "v4": "demo-v2"}

# No gates and no holds: how a rollback does is measured, not what leads to it.
PLANS: Final[dict[str, dict[str, Any]]] = {
    "half": {"steps": [{"percent": 50}, {"percent": 100}], "rollback_window": 0},
    "shares": {
        "steps": [{"percent": 5}, {"percent": 20}, {"percent": 50}, {"percent": 100}],
        "rollback_window": 0,
    },
}


class Kind(StrEnum):
    """What is going on when the rollback comes."""

    STEADY = "canary at 50 %"
    LOADING = "at 50 %, its second node loading"
    DRAINING = "likewise, and another canary draining"
    STARTING = "canary still loading, no traffic yet"
    COMMAND = "canary at 50 %, by the command"


@dataclass(frozen=True, slots=True)
class Round:
    """One rollback, all in seconds since the epoch: `began` just before the request to the API
    was written (for COMMAND: before the process was started), `answered` when it had said that
    it is done, `until` when the next canary was asked for."""

    kind: Kind
    version: str
    began: float
    answered: float
    until: float


class Rounds:
    def __init__(self, fleet: BenchFleet, seed: int = 1) -> None:
        self._fleet = fleet
        self._random = random.Random(seed)
        self._versions = itertools.cycle(("v3", "v4", "v2"))  # v2 was the last in `shares`
        self._files = itertools.count()
        self._held: socket.socket | None = None
        self.light_records: list[Record] = []

    def play(self, kinds: list[Kind]) -> Iterator[Round]:
        """A round for each, as it ends."""
        for kind, following in itertools.pairwise([*kinds, None]):
            assert kind is not None
            yield self._round(kind, hold=following is Kind.DRAINING)
        self._release()

    def _round(self, kind: Kind, hold: bool) -> Round:
        version = next(self._versions)
        self._start(version)
        if kind is Kind.STARTING:
            time.sleep(self._random.uniform(0.2, 2.0))
            return self._rolled_back(kind, version)
        self._fleet.wait_for_share(50)
        with self._metronome():
            if kind in {Kind.LOADING, Kind.DRAINING}:
                self._load_second_node(version)
            if kind is Kind.DRAINING:
                self._check_held()
            previous, self._held = self._held, self._hold(version) if hold else None
            done = self._rolled_back(kind, version)
            if previous is not None:
                previous.close()
        return done

    def _start(self, version: str) -> None:
        body = {"version": version, "plan": "half", "force": True}
        self._fleet.client.post("/api/rollouts", body)

    @contextlib.contextmanager
    def _metronome(self) -> Iterator[None]:
        """Light requests of many keys, a hundred a second, on connections that are kept."""
        output = self._fleet.folder / f"light-{next(self._files)}.jsonl"
        load = LoadProcess(self._fleet.router_url, output, *_METRONOME)
        load.start()
        try:
            self._fleet.wait_until(
                "light requests flow", lambda: len(load.records()) > _METRONOME_REQUESTS, 60, 0.05
            )
            yield
        finally:
            self.light_records += load.stop()

    def _load_second_node(self, version: str) -> None:
        """100 % takes two nodes: the second loads, and the share stays until it is ready."""
        self._fleet.client.post("/api/rollouts/current/promote", {})
        time.sleep(self._random.uniform(0.3, 2.0))
        node = self._fleet.nodes().get(f"{version}-2", {})
        if node.get("health") not in {"wanted", "starting"}:
            raise FleetFailed(f"{version}-2 was to be loading, but it is {node}")

    def _rolled_back(self, kind: Kind, version: str) -> Round:
        if kind is Kind.COMMAND:
            began, answered = self._by_command()
        else:
            began, answered = self._by_api()
        time.sleep(_SETTLE_SECONDS)
        phase = self._fleet.rollout()["phase"]
        if phase != "rolled_back":
            raise FleetFailed(f"after the rollback the rollout is {phase}")
        return Round(kind, version, began, answered, time.time())

    def _by_api(self) -> tuple[float, float]:
        connection = http.client.HTTPConnection(*self._fleet.api_address, timeout=30)
        headers = {"Authorization": f"Bearer {self._fleet.token}"}
        headers["Content-Type"] = "application/json"
        connection.connect()
        began = time.time()
        connection.request("POST", "/api/rollback", json.dumps({"actor": "benchmark"}), headers)
        response = connection.getresponse()
        answer = response.read().decode()
        answered = time.time()
        connection.close()
        if response.status != 200:
            raise FleetFailed(f"the API answered {response.status} to a rollback: {answer}")
        return began, answered

    def _by_command(self) -> tuple[float, float]:
        began = time.time()
        self._fleet.rollback()
        return began, time.time()

    # -- a canary that goes on draining ---------------------------------------------------

    def _hold(self, version: str) -> socket.socket:
        """An upload that never ends, straight to the canary's node: it cannot finish draining."""
        url = urllib.parse.urlsplit(self._fleet.nodes()[f"{version}-1"]["url"])
        assert url.hostname is not None
        connection = socket.create_connection((url.hostname, url.port or 80))
        connection.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: node\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=slow\r\n\r\n--slow\r\n"
        )
        return connection

    def _check_held(self) -> None:
        """The node would have closed the connection, had it ended."""
        if self._held is None:
            raise FleetFailed("no canary was held draining")
        self._held.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            data = self._held.recv(1)
            raise FleetFailed(f"the canary of the round before has ended draining: {data!r}")

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
