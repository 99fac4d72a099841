"""What the controller says of its fleet, ten times a second, from before a fault until after."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx

_INTERVAL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at `at` (seconds since the epoch). `health` of each wanted node by name, empty
    where the controller does not answer; `routing` is all that says where requests go."""

    at: float
    health: Mapping[str, str] = field(default_factory=dict)
    routing: tuple[Any, ...] = ()
    settled: bool = False

    @property
    def well(self) -> bool:
        """All that should be is, and nginx serves with it."""
        return self.settled and bool(self.health) and set(self.health.values()) == {"healthy"}

    def noticed(self, targets: Collection[str]) -> bool:
        """Whether it says that something is wrong with `targets`; with anything, where none."""
        if not targets:
            return not self.well
        return any(self.health.get(name) != "healthy" for name in targets) if self.health else False


def sample(status: Mapping[str, Any], at: float) -> Sample:
    """Of `GET /api/status`."""
    router = status["router"]
    nodes = [node for pool in status["pools"].values() for node in pool["nodes"]]
    return Sample(
        at,
        {node["name"]: node["health"] for node in nodes},
        (router["generation"], router["serving"], router["percent"]["canary"]),
        bool(router["settled"] and router["running"]),
    )


class Timeline:
    """`with Timeline(url) as timeline: …`"""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="timeline")
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def well_for(self, seconds: float) -> bool:
        """Whether all was well whenever looked, for so long until now."""
        since = time.time() - seconds
        recent = [s for s in self.samples if s.at >= since]
        return bool(recent) and all(s.well for s in recent) and self.samples[0].at < since

    def _look_on(self) -> None:
        with httpx.Client(base_url=self._url, timeout=2, trust_env=False) as client:
            while not self._stop.wait(_INTERVAL_SECONDS):
                self.samples.append(_look(client))


def _look(client: httpx.Client) -> Sample:
    try:
        answer = client.get("/api/status")
        answer.raise_for_status()
    except httpx.HTTPError:
        return Sample(time.time())
    return sample(answer.json(), time.time())


def first_noticed(
    samples: Sequence[Sample], began: float, targets: Collection[str]
) -> float | None:
    """When the controller first said that something is wrong."""
    return next((s.at for s in samples if s.at > began and s.noticed(targets)), None)


def first_switched(samples: Sequence[Sample], began: float) -> float | None:
    """When requests first went by another routing or other nodes than before."""
    before = [s.routing for s in samples if s.at <= began and s.routing]
    if not before:
        return None
    changed = (s.at for s in samples if s.at > began and s.routing and s.routing != before[-1])
    return next(changed, None)


def recovered(samples: Sequence[Sample], began: float) -> float | None:
    """Since when all is well again, and stays so; None where it never was not, or still is not."""
    after = [s for s in samples if s.at > began]
    bad = [number for number, s in enumerate(after) if not s.well]
    if not bad or bad[-1] + 1 == len(after):
        return None
    return after[bad[-1] + 1].at
