"""Are the canary's requests bad more often? A test that may be read after every request.

Each bad request is a draw: whose was it? If the versions are equal, each request made around then
is as likely as its key's past says (`hazard`), however often everything fails together. The
product over the bad requests of

    rate of the one that failed, if worse / all rates around then, if worse
    ---------------------------------------------------------------------
    rate of the one that failed, if equal / all rates around then, if equal

is then a martingale that starts at 1: it ever exceeds 1/a with probability at most a (Ville 1939).
That is the anytime-valid logrank test (ter Schure, Pérez-Ortiz, Ly & Grünwald 2020) for events
that recur (Prentice, Williams & Peterson 1981), of a mixture over how much worse (Robbins 1970).

Two tests, two budgets: `worse` rejects "not worse than stable", `within` rejects "worse by
`margin` or more". Where nothing ever fails, no draw tells of `within`; but of a canary that adds
`margin` to each key's rate, at least as many requests fail, so good ones are bet on, too
(Waudby-Smith & Ramdas 2023), and the two martingales are averaged.

That is exact for rates that are known; here they are learned from the requests before, and the
keys' own are taken for gamma distributed. How often equal versions are sent home all the same is
measured, for other shapes of users too (benchmarks/verdict.py, docs/measurements.md).

One key among n is the oddest with probability 1/n, whatever the shape of the rates: so no single
key's evidence counts for more than that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from controller.core.live.hazard import NO_RISE, Frailty, Rise, rate
from controller.core.live.pool_counts import PoolCounts

# How a canary may be worse; equally likely. A fault strikes requests whoever made them: it adds to
# each key's own rate. Half a decade lies between them: one that is off by less is nearly as good.
ADDED: Final = (Rise(0.004), Rise(0.012), Rise(0.04), Rise(0.12))
# What is slower makes all times longer, and that multiplies the share of those beyond a limit: it
# rises most for users who were slow before.
STRETCHED: Final = (*ADDED, Rise(times=2), Rise(times=4))
_HORIZON_REQUESTS: Final = 1000  # "around then": older requests fade from the rates
_FADE: Final = 1 - 1 / _HORIZON_REQUESTS
_HEAVIEST: Final = 1e9  # the newest request's weight, before all are scaled down
KNOWN_AFTER: Final = 10  # requests of the canary, before it is known what share it gets
_CLEAN: Final = 1 / 8  # of the margin: the rate that the bet on good requests supposes
_CLEAN_REQUESTS: Final = 100  # of each key
# At most one key in so many is taken to be broken in a way that no key of stable is.
_KEYS_PER_ODD_ONE: Final = 2000
MOST_KEYS: Final = 20_000  # further ones are not counted: memory stays bounded


class EventTest:
    """`margin`: the rise (a ratio) that a promoted version may have. `expected`: stable's rate
    before anything is known. `rises`: how it may be worse. Feed it in order; it holds a few
    numbers a key."""

    def __init__(
        self, margin: float, expected: float = 0.01, rises: Sequence[Rise] = ADDED
    ) -> None:
        self.margin = margin
        self.frailty = Frailty(expected)
        self.stable = PoolCounts()
        self.canary = PoolCounts()
        self.others = PoolCounts()  # of the old version, but not compared
        # Hypotheses: equal, worse by the margin, then each of the rises.
        self._hypotheses = (NO_RISE, Rise(margin), *rises)
        self._log_likelihoods = [0.0] * len(self._hypotheses)
        # Sums of rates; instead of fading old ones, each request weighs more than the one before.
        self._weight = 1.0
        self._stable_rates = 0.0
        self._canary_rates = [0.0] * len(self._hypotheses)
        self._since = 0  # requests of the canary since its share last changed
        self._pending: list[tuple[float, bool, str, list[float]]] = []
        self._clean = 0.0
        self._credits: dict[str, list[float]] = {}
        self.worse = 0.0  # the most that the log of the evidence has reached
        self.within = 0.0

    def observe(self, canary: bool, key: str, event: bool) -> None:
        """One request of a key; `event`: it was bad."""
        pool = self.canary if canary else self.stable
        found = pool.of(key, MOST_KEYS)
        if found is None:
            return
        requests, events = found
        shape, size = self.frailty.parameters()
        mine = self._hypotheses if canary else (NO_RISE,)
        rates = [rate(shape, size, requests, events, rise) for rise in mine]
        self._add_to_rates(canary, rates)
        if canary and requests < _CLEAN_REQUESTS:
            self._bet_on_good_ones(event)
        self._since += canary
        if event:
            self._wait(canary, key, rates)
        if self._since >= KNOWN_AFTER:
            self._weigh_pending()
        if canary or event:
            self._keep_the_most()
        self.frailty.learn(requests, events, event, (pool.requests, pool.events))
        pool.count(key, event)

    def learn(self, key: str, event: bool) -> None:
        """One request of stable while the canary is compared with a baseline: nothing for or
        against anyone, but it tells how users differ, which the baseline's few cannot."""
        found = self.others.of(key, MOST_KEYS)
        if found is None:
            return
        requests, events = found
        others = self.others.requests, self.others.events
        self.frailty.learn(requests, events, event, others)
        self.others.count(key, event)

    def share_changed(self) -> None:
        """The canary gets another share of the traffic from now on: who made requests around
        then is learned anew; the evidence stays."""
        self._stable_rates, self._canary_rates = 0.0, [0.0] * len(self._hypotheses)
        self._since, self._pending = 0, []

    def _add_to_rates(self, canary: bool, rates: list[float]) -> None:
        self._weight /= _FADE
        if canary:
            for i, each in enumerate(rates):
                self._canary_rates[i] += each * self._weight
        else:
            self._stable_rates += rates[0] * self._weight
        if self._weight > _HEAVIEST:
            self._stable_rates /= self._weight
            self._canary_rates = [total / self._weight for total in self._canary_rates]
            self._pending = [(w / self._weight, c, k, r) for w, c, k, r in self._pending]
            self._weight = 1.0

    def _bet_on_good_ones(self, event: bool) -> None:
        supposed = _CLEAN * self.margin
        won = supposed / self.margin if event else (1 - supposed) / (1 - self.margin)
        self._clean += math.log(won)

    def _keep_the_most(self) -> None:
        _, margin, *worse = self._log_likelihoods
        self.worse = max(self.worse, _log_mean_exp(worse))
        self.within = max(self.within, _log_mean_exp([-margin, self._clean]))

    def _wait(self, canary: bool, key: str, rates: list[float]) -> None:
        """Bad requests wait until it is known what share the canary gets; the oldest are
        forgotten, so that none from before it had any traffic tells of it."""
        oldest = self._weight * math.exp(-1)
        while self._pending and self._pending[0][0] < oldest:
            self._pending.pop(0)
        self._pending.append((self._weight, canary, key, rates))

    def _weigh_pending(self) -> None:
        for _, canary, key, rates in self._pending:
            self._weigh(canary, key, rates)
        self._pending.clear()

    def _weigh(self, canary: bool, key: str, rates: list[float]) -> None:
        """The log likelihood, under each hypothesis, of its having been this request."""
        everyone = [math.log(total + self._stable_rates) for total in self._canary_rates]
        mine = [math.log(r) for r in rates] if canary else [0.0] * len(everyone)
        gains = [m - mine[0] - (e - everyone[0]) for m, e in zip(mine, everyone, strict=True)]
        if canary:
            gains = self._within_credit(key, gains)
        for i, gain in enumerate(gains):
            self._log_likelihoods[i] += gain

    def _within_credit(self, key: str, gains: list[float]) -> list[float]:
        """Of a key's gains, what its credit allows; a key whose credit is used up is passed
        over. The margin's count in full, because they speak against passing."""
        most = math.log(max(_KEYS_PER_ODD_ONE, self.stable.keys + self.others.keys + 1))
        used = self._credits.setdefault(key, [0.0] * len(gains))
        counted = [
            min(g, max(0.0, most - u)) if u < most else 0.0
            for g, u in zip(gains, used, strict=True)
        ]
        self._credits[key] = [u + c for u, c in zip(used, counted, strict=True)]
        counted[1] = gains[1]
        return counted

    def to_json(self) -> dict[str, Any]:
        """Everything that was learned: a controller that starts again goes on from here."""
        return {
            "margin": self.margin,
            "rises": self._hypotheses[2:],
            "frailty": self.frailty.to_json(),
            "stable": self.stable.to_json(),
            "canary": self.canary.to_json(),
            "others": self.others.to_json(),
            "log_likelihoods": self._log_likelihoods,
            "weight": self._weight,
            "since": self._since,
            "pending": [list(bad) for bad in self._pending],
            "clean": self._clean,
            "stable_rates": self._stable_rates,
            "canary_rates": self._canary_rates,
            "credits": self._credits,
            "worse": self.worse,
            "within": self.within,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EventTest:
        test = cls(value["margin"], rises=[Rise(*rise) for rise in value["rises"]])
        test.frailty = Frailty(**value["frailty"])
        test.stable = PoolCounts.from_json(value["stable"])
        test.canary = PoolCounts.from_json(value["canary"])
        test.others = PoolCounts.from_json(value["others"])
        test._log_likelihoods = list(value["log_likelihoods"])
        test._weight, test._clean = value["weight"], value["clean"]
        test._since = value["since"]
        test._pending = [(w, canary, key, rates) for w, canary, key, rates in value["pending"]]
        test._stable_rates = value["stable_rates"]
        test._canary_rates = list(value["canary_rates"])
        test._credits = {key: list(credit) for key, credit in value["credits"].items()}
        test.worse, test.within = value["worse"], value["within"]
        return test


def _log_mean_exp(values: list[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(v - most) for v in values) / len(values))
