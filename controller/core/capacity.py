"""How much work comes and how much the nodes can do, both in seconds of audio per second.

What comes is counted over the last `WINDOW_SECONDS`; what a node can do is the audio that it hears
per second of its model's time (nodes charge each request its share of a batch). Too little
measured is not known: None, never a guess."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

WINDOW_SECONDS: Final = 60
_KNOWN_AFTER_SECONDS: Final = 20  # of counting: a load over less would jump with each recording
_FEWEST: Final = 10  # answers of a node, before it is believed how fast it is
_REMEMBERED: Final = 500  # answers, halved beyond: a node may become slower


@dataclass(slots=True)
class _Speed:
    answers: float = 0.0
    audio_seconds: float = 0.0
    model_seconds: float = 0.0

    def add(self, audio_seconds: float, model_seconds: float) -> None:
        self.answers += 1
        self.audio_seconds += audio_seconds
        self.model_seconds += model_seconds
        if self.answers >= _REMEMBERED:
            self.answers /= 2
            self.audio_seconds /= 2
            self.model_seconds /= 2

    @property
    def known(self) -> float | None:
        if self.answers < _FEWEST or self.model_seconds <= 0:
            return None
        return self.audio_seconds / self.model_seconds


@dataclass(slots=True)
class _Second:
    audio_seconds: float = 0.0
    answered: int = 0
    refused: int = 0


@dataclass(slots=True)
class Throughput:
    """Evidence: mutable, in memory only. `node_seconds_per_second` is what fleet.yaml says of
    each node; then nothing is measured of them."""

    node_seconds_per_second: float | None = None
    _began_at: float | None = None
    _seconds: dict[int, _Second] = field(default_factory=dict)
    _speeds: dict[str, _Speed] = field(default_factory=lambda: collections.defaultdict(_Speed))

    def begin(self, now: float) -> None:
        """Counting begins; all times are seconds since the epoch."""
        if self._began_at is None:
            self._began_at = now

    def answered(self, at: float, audio_seconds: float) -> None:
        second = self._seconds.setdefault(int(at), _Second())
        second.audio_seconds += audio_seconds
        second.answered += 1

    def refused(self, at: float) -> None:
        """A request for which there was no room counts as long as the others are."""
        self._seconds.setdefault(int(at), _Second()).refused += 1

    def worked(self, node: str, audio_seconds: float, model_seconds: float) -> None:
        self._speeds[node].add(audio_seconds, model_seconds)

    def forget_others(self, nodes: Collection[str]) -> None:
        """How fast nodes were that are not there any more."""
        for name in self._speeds.keys() - set(nodes):
            del self._speeds[name]

    def load(self, now: float) -> float | None:
        """What stable was asked for; None where it is not known (yet)."""
        began = self._began_at if self._began_at is not None else now
        first = max(began, now - WINDOW_SECONDS)  # what came before is read all at once
        self._seconds = {at: s for at, s in self._seconds.items() if at >= int(first)}
        counted = now - began
        if counted < _KNOWN_AFTER_SECONDS:
            return None
        seen = self._seconds.values()
        answered, refused = sum(s.answered for s in seen), sum(s.refused for s in seen)
        if answered == 0:
            return None if refused else 0.0
        audio_seconds = sum(s.audio_seconds for s in seen) * (1 + refused / answered)
        return audio_seconds / min(counted, WINDOW_SECONDS)

    def room(self, nodes: Iterable[str], alike: Iterable[str] = ()) -> float | None:
        """What these nodes can do together. One that was not measured is taken for as fast as
        `alike` are: nodes of the same version. None where that is not known either."""
        nodes = tuple(nodes)
        speeds = [self._speed(node) for node in nodes]
        usual = self._usual((*nodes, *alike))
        if usual is None:
            return None
        return sum(usual if speed is None else speed for speed in speeds)

    def _speed(self, node: str) -> float | None:
        if self.node_seconds_per_second is not None:
            return self.node_seconds_per_second
        return self._speeds[node].known if node in self._speeds else None

    def _usual(self, nodes: Iterable[str]) -> float | None:
        known = [speed for node in nodes if (speed := self._speed(node)) is not None]
        return min(known) if known else None
