"""How likely a key's next request is to fail, given what its earlier requests did.

Requests of one user are alike, so failures are not independent: a key that failed often will fail
again, on whatever version. Rates of keys are taken as gamma distributed (the shared frailty of
survival analysis: Clayton 1978; Hougaard 2000), so a key's next request fails at
(shape + failures) / (shape / mean + requests). What a key's past explains is no news of a version.

Mean and shape are learned as the requests come, from the keys of both versions: if these are
equal, the half into which a key fell tells nothing of it. Of the shape, how well each of several
would have foretold every request (prequential likelihood: Dawid 1984); of each version around its
own mean, or a worse one would look like users who differ."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

HIGHEST_RATE: Final = 0.95
# How many requests the mean that is believed before anything is seen is worth.
PRIOR_REQUESTS: Final = 300
OWN_REQUESTS: Final = 10  # likewise the common mean, before a version's own is known
# Squared coefficients of variation that the keys' own rates may have; before anything is seen
# they are believed log-normal.
SPREADS: Final = tuple(0.3 * 2.0**i for i in range(8))
_BELIEVED_SPREAD: Final = 2.0
_BELIEVED_SIGMA: Final = 1.2
BELIEFS: Final = tuple(
    -0.5 * (math.log(spread / _BELIEVED_SPREAD) / _BELIEVED_SIGMA) ** 2 for spread in SPREADS
)


@dataclass(slots=True)
class Frailty:
    """`expected` is the rate believed before anything is seen (a ratio); `beliefs` are the
    logarithms of how much each of `SPREADS` is believed."""

    expected: float = 0.01
    requests: int = 0
    events: int = 0
    beliefs: list[float] = field(default_factory=lambda: list(BELIEFS))

    def learn(
        self, requests: int, events: int, event: bool, of_version: tuple[int, int] = (0, 0)
    ) -> None:
        """One more request of a key, which had `requests`, `events` of them bad; `of_version`:
        the same of all keys of its version."""
        all_requests, all_events = of_version
        mean = (all_events + OWN_REQUESTS * self.mean) / (all_requests + OWN_REQUESTS)
        for i, spread in enumerate(SPREADS):
            shape = 1 / spread
            foretold = min(HIGHEST_RATE, (shape + events) / (shape / mean + requests))
            self.beliefs[i] += math.log(foretold) if event else math.log1p(-foretold)
        self.requests += 1
        self.events += event

    @property
    def mean(self) -> float:
        believed = PRIOR_REQUESTS * self.expected
        return (self.events + believed) / (self.requests + PRIOR_REQUESTS)

    def parameters(self) -> tuple[float, float]:
        """Shape, and shape by mean: the key's prior events and prior requests."""
        most = max(self.beliefs)
        weights = [math.exp(belief - most) for belief in self.beliefs]
        logs = sum(w * math.log(s) for w, s in zip(weights, SPREADS, strict=True))
        shape = math.exp(-logs / sum(weights))
        return shape, shape / self.mean

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Rise(NamedTuple):
    """What a version may do to each key's own rate: `times` as high, plus `extra` (a ratio)."""

    extra: float = 0.0
    times: float = 1.0


NO_RISE: Final = Rise()


def rate(shape: float, size: float, requests: int, events: int, rise: Rise) -> float:
    """The next request's rate (a ratio), if so it rose. Of the key's events as many are put down
    to `extra` as it makes on average; and where rates are `times` as high, each request tells as
    much of the key's own rate as so many would (proportional hazards with gamma frailty)."""
    own = max(0.0, events - rise.extra * requests) if rise.extra else events
    risen = rise.times * (shape + own) / (size + rise.times * requests) + rise.extra
    return min(HIGHEST_RATE, risen)
