"""How likely a key's next request is to fail, given what its earlier requests did.

Requests of one user are alike, so failures are not independent: a key that failed often will fail
again, on whatever version. Rates of keys are taken as gamma distributed (the shared frailty of
survival analysis: Clayton 1978; Hougaard 2000), so a key's next request fails at
(shape + failures) / (shape / mean + requests). What a key's past explains is no news of a version.

Mean and shape are learned as the requests come, from the old version's keys alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

HIGHEST_RATE: Final = 0.95
# What is believed before anything is seen, and how many observations that belief is worth.
_PRIOR_REQUESTS: Final = 100
_PRIOR_PAIRS: Final = 5.0
_PRIOR_SPREAD: Final = 3.0  # squared coefficient of variation of the keys' own rates
_SPREADS: Final = (0.3, 30.0)
# Of each key as many requests tell of the spread: else the busiest keys alone would.
_REQUESTS_FOR_SPREAD: Final = 200


@dataclass(slots=True)
class Frailty:
    """`expected` is the rate believed before anything is seen (a ratio)."""

    expected: float = 0.01
    requests: int = 0
    events: int = 0
    pairs: int = 0  # ordered pairs of requests of one key
    event_pairs: int = 0  # of them, where both failed

    def learn(self, requests: int, events: int, event: bool) -> None:
        """One more request of a key of the old version, which had `requests`, `events` of them
        bad."""
        self.requests += 1
        self.events += event
        if requests < _REQUESTS_FOR_SPREAD:
            self.pairs += 2 * requests
            self.event_pairs += 2 * events * event

    @property
    def mean(self) -> float:
        believed = _PRIOR_REQUESTS * self.expected
        return (self.events + believed) / (self.requests + _PRIOR_REQUESTS)

    def parameters(self) -> tuple[float, float]:
        """Shape, and shape by mean: the key's prior events and prior requests."""
        alike = self.mean**2 * self.pairs  # pairs expected if all keys were alike
        observed = self.event_pairs + _PRIOR_PAIRS * (1 + _PRIOR_SPREAD)
        low, high = _SPREADS
        shape = 1 / min(high, max(low, observed / (alike + _PRIOR_PAIRS) - 1))
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
