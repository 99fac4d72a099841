"""`controller.core.live.event_test.EventTest` for many rollouts at once.

The same arithmetic and constants, with one difference: the rates of those who might have failed
are summed once a chunk of requests rather than at each (a test compares the two)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.rollouts_simulated.traffic import CHUNK, Bools, Chunk, Floats, Ints
from controller.core.live import event_test, hazard
from controller.core.live.gate import PASS_BUDGET


@dataclass(slots=True)
class Decided:
    """By rollout: after how many requests, of them the canary's, and how many of the canary's
    were bad by then; -1 requests where it was never decided."""

    requests: Ints
    canary_requests: Ints
    bad: Ints

    @classmethod
    def none(cls, rollouts: int) -> Decided:
        return cls(*(np.full(rollouts, n, np.int64) for n in (-1, 0, 0)))


class EventTests:
    """One test for each rollout. `budget`: the chance of a false rollback that it may have;
    `worse` and `within`: when each test was sure; `most`: the most that the log of the evidence
    for `worse` has reached."""

    def __init__(
        self,
        is_canary: Bools,
        rollouts: int,
        margin: float,
        expected: float,
        budget: float,
        rises: Sequence[hazard.Rise] = event_test.ADDED,
    ) -> None:
        self.rollouts, self.margin, self.expected, self.budget = rollouts, margin, expected, budget
        self.worse, self.within = Decided.none(rollouts), Decided.none(rollouts)
        self.most = np.zeros(rollouts)
        hypotheses = (hazard.NO_RISE, hazard.Rise(margin), *rises)
        self._extras = np.array([rise.extra for rise in hypotheses])
        self._times = np.array([rise.times for rise in hypotheses])
        self._events = np.zeros(len(is_canary), np.int32)
        self._place = np.cumsum(is_canary) - 1  # of a canary's key in `_credits`
        self._credits = np.zeros((int(self._place[-1]) + 1, len(self._extras)))
        self._stable_rates = np.zeros(rollouts)
        self._canary_rates = np.zeros((rollouts, len(self._extras)))
        self._log = np.zeros((rollouts, len(self._extras)))
        self._clean = np.zeros(rollouts)
        self._learned = np.zeros((2, 2, rollouts))  # stable's and canary's requests, events
        self._beliefs = np.repeat(np.array(hazard.BELIEFS)[:, None], rollouts, axis=1)
        self._pending: list[tuple[int, int, int, bool, Floats]] = []
        self._stable_keys = np.zeros(rollouts, np.int64)
        self._canary_requests = np.zeros(rollouts, np.int64)
        self._canary_bad = np.zeros(rollouts, np.int64)

    def observe(self, chunk: Chunk, bad: Bools, made: int) -> None:
        """`made`: requests of each rollout before this chunk."""
        shape, size = self._parameters()
        events = self._events[chunk.key]
        self._add_rates(chunk, shape, size, events)
        totals = np.log(self._canary_rates + self._stable_rates[:, None])
        penalties = totals - totals[:, :1]
        row, column = np.nonzero(bad)
        self._weigh_pending(chunk, penalties, made)
        order = np.arange(len(row)) - np.searchsorted(row, row)  # within its rollout
        for turn in range(int(order.max(initial=-1)) + 1):
            now = order == turn
            self._weigh(chunk, row[now], column[now], shape, size, penalties, made)
        self._learn(chunk, bad, events)
        self._bet_on_good_ones(chunk, bad)

    def _mean(self) -> Floats:
        requests, events = self._learned.sum(axis=0)
        prior = hazard.PRIOR_REQUESTS
        return (events + prior * self.expected) / (requests + prior)

    def _parameters(self) -> tuple[Floats, Floats]:
        weights = np.exp(self._beliefs - self._beliefs.max(axis=0))
        logs = (weights * np.log(hazard.SPREADS)[:, None]).sum(axis=0)
        shape = np.exp(-logs / weights.sum(axis=0))
        return shape, shape / self._mean()

    def _add_rates(self, chunk: Chunk, shape: Floats, size: Floats, events: Ints) -> None:
        fade = event_test._FADE**CHUNK
        equal = (shape[:, None] + events) / (size[:, None] + chunk.before)
        self._stable_rates *= fade
        self._stable_rates += np.where(chunk.canary, 0.0, equal).sum(axis=1)
        row, column = np.nonzero(chunk.canary)
        rates = self._rates(shape[row], size[row], chunk.before[row, column], events[row, column])
        self._canary_rates *= fade
        for i in range(len(self._extras)):
            self._canary_rates[:, i] += np.bincount(row, rates[:, i], minlength=self.rollouts)

    def _rates(self, shape: Floats, size: Floats, requests: Ints, events: Ints) -> Floats:
        own = np.maximum(0, events[:, None] - self._extras * requests[:, None])
        told = size[:, None] + self._times * requests[:, None]
        rates = self._times * (shape[:, None] + own) / told + self._extras
        return np.minimum(hazard.HIGHEST_RATE, rates)

    def _weigh(
        self,
        chunk: Chunk,
        row: Ints,
        column: Ints,
        shape: Floats,
        size: Floats,
        penalties: Floats,
        made: int,
    ) -> None:
        """At most one bad request of each rollout."""
        key = chunk.key[row, column]
        ratios = np.zeros((len(row), len(self._extras)))
        mine = np.nonzero(chunk.canary[row, column])[0]
        if len(mine):
            r, k, c = row[mine], key[mine], column[mine]
            earlier = (chunk.key[r] == k[:, None]) & (np.arange(CHUNK) < c[:, None])
            requests = chunk.before[r, c] + earlier.sum(axis=1)
            rates = np.log(self._rates(shape[r], size[r], requests, self._events[k]))
            ratios[mine] = rates - rates[:, :1]
            self._canary_bad[r] += 1
        self._events[key] += 1
        canary, known = chunk.canary[row, column], self._known(chunk, row)
        self._add(row[known], key[known], canary[known], ratios[known], penalties)
        for wait in np.nonzero(~known)[0]:
            self._pending.append((made, int(row[wait]), key[wait], canary[wait], ratios[wait]))
        self._decide(chunk, row, column, made)

    def _known(self, chunk: Chunk, row: Ints) -> Bools:
        """Whether, at the chunk's end, it is known what share the canary gets."""
        made = self._canary_requests[row] + chunk.canary[row].sum(axis=1)
        return made >= event_test.KNOWN_AFTER

    def _weigh_pending(self, chunk: Chunk, penalties: Floats, made: int) -> None:
        waiting, self._pending = self._pending, []
        known = self._known(chunk, np.arange(self.rollouts)).tolist()
        for since, row, key, canary, ratios in waiting:
            if made - since > event_test._HORIZON_REQUESTS:
                continue
            if known[row]:
                at = np.array([row])
                self._add(at, np.array([key]), np.array([canary]), ratios[None], penalties)
                self._decide(chunk, at, np.zeros(1, np.int64), made)
            else:
                self._pending.append((since, row, key, canary, ratios))

    def _add(self, row: Ints, key: Ints, canary: Bools, ratios: Floats, penalties: Floats) -> None:
        gains = ratios - penalties[row]
        gains[canary] = self._within_credit(row[canary], key[canary], gains[canary])
        self._log[row] += gains

    def _within_credit(self, row: Ints, key: Ints, gains: Floats) -> Floats:
        most = np.log(np.maximum(event_test._KEYS_PER_ODD_ONE, self._stable_keys[row] + 1))
        place = self._place[key]
        left = most[:, None] - self._credits[place]
        counted = np.where(left > 0, np.minimum(gains, left), 0.0)
        self._credits[place] += counted
        counted[:, 1] = gains[:, 1]
        return counted

    def _decide(self, chunk: Chunk, row: Ints, column: Ints, made: int) -> None:
        rises = self._log[row, 2:]
        most = rises.max(axis=1)
        worse = most + np.log(np.exp(rises - most[:, None]).mean(axis=1))
        self.most[row] = np.maximum(self.most[row], worse)
        for decided, evidence, budget in (
            (self.worse, worse, self.budget),
            (self.within, self._within(row), PASS_BUDGET),
        ):
            hit = (evidence >= np.log(1 / budget)) & (decided.requests[row] < 0)
            r, c = row[hit], column[hit]
            until = np.arange(CHUNK) <= c[:, None]
            decided.requests[r] = made + c + 1
            decided.canary_requests[r] = self._canary_requests[r] + (chunk.canary[r] & until).sum(
                axis=1
            )
            decided.bad[r] = self._canary_bad[r]

    def _within(self, row: Ints) -> Floats:
        return np.logaddexp(-self._log[row, 1], self._clean[row]) - np.log(2)

    def _bet_on_good_ones(self, chunk: Chunk, bad: Bools) -> None:
        told = chunk.canary & (chunk.before < event_test._CLEAN_REQUESTS)
        supposed = event_test._CLEAN * self.margin
        self._clean += (told & bad).sum(axis=1) * np.log(event_test._CLEAN)
        self._clean += (told & ~bad).sum(axis=1) * np.log((1 - supposed) / (1 - self.margin))

    def _learn(self, chunk: Chunk, bad: Bools, events: Ints) -> None:
        prior = hazard.OWN_REQUESTS
        means = (self._learned[:, 1] + prior * self._mean()) / (self._learned[:, 0] + prior)
        mean = np.where(chunk.canary, means[1][:, None], means[0][:, None])
        for beliefs, spread in zip(self._beliefs, hazard.SPREADS, strict=True):
            shape = 1 / spread
            foretold = (shape + events) / (shape / mean + chunk.before)
            foretold = np.minimum(hazard.HIGHEST_RATE, foretold)
            beliefs += np.log(np.where(bad, foretold, 1 - foretold)).sum(axis=1)
        stable = ~chunk.canary
        for learned, pool in zip(self._learned, (stable, chunk.canary), strict=True):
            learned[0] += pool.sum(axis=1)
            learned[1] += (pool & bad).sum(axis=1)
        self._stable_keys += (stable & (chunk.before == 0)).sum(axis=1)
        self._canary_requests += chunk.canary.sum(axis=1)
