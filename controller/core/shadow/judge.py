"""Do the two versions disagree more than a bound allows?

The requests of one sticky key are alike, so the key is the block: the rate is a ratio of sums over
keys, its variance that of a ratio of cluster totals (Cochran 1977, Sampling Techniques, 6.3), its
quantiles those of Student's t with a degree of freedom less than keys.

Few requests differ, and where by chance none of those was seen yet the variance looks small, too:
Student's upper end alone would pass too often. So it is never below that of Hoeffding (1963,
Theorem 1, in its form with relative entropy), which holds for every mean of values between 0 and 1,
for as many requests as these are worth: divided by the design effect and by what few keys cost
(Korn & Graubard 1998, "Confidence intervals for proportions with small expected number").

It is looked at while pairs come in. A look counts when there are half as many pairs more than at
the last that counted, and the k-th has the share 1/(k (k + 1)) of the gate's level (they add up
to 1): so whoever watches for long is not wrong more often (a union bound)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.core.comparison.student import NORMAL, t_from_z
from controller.core.shadow.gate import DisagreementGate
from controller.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """The pairs of one sticky key that are in the same slices."""

    key: str
    slices: tuple[str, ...]
    pairs: int
    units: int
    written: int  # edits
    differ_written: int  # pairs
    number_units: int = 0
    numbers: int = 0
    differ_numbers: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """`rate` and `interval` are ratios; the interval is 0 to 1 where nothing can be said."""

    pairs: int
    keys: int
    rate: float
    interval: tuple[float, float]


def look(gate: DisagreementGate, pairs: int) -> int:
    """Which look it is with so many pairs: 0 is too early, 1 the first that counts."""
    if pairs < gate.min_pairs:
        return 0
    return 1 + math.floor(math.log(pairs / gate.min_pairs, 1.5) + 1e-9)


def rate_of(gate: DisagreementGate, tallies: Sequence[Tally], level: float) -> Rate:
    """The rate over these pairs, and the interval that it leaves at each end with `level`."""
    blocks: dict[str, tuple[int, int]] = {}
    for tally in tallies:
        edits, units = _counts(gate, tally)
        before = blocks.get(tally.key, (0, 0))
        blocks[tally.key] = (before[0] + edits, before[1] + units)
    pairs = sum(tally.pairs for tally in tallies)
    edits = sum(e for e, _ in blocks.values())
    units = sum(u for _, u in blocks.values())
    rate = edits / units if units else 0.0
    if not units or len(blocks) < 2:
        return Rate(pairs, len(blocks), rate, (0.0, max(1.0, rate)))
    return Rate(pairs, len(blocks), rate, _interval([*blocks.values()], pairs, level))


def judge(
    gate: DisagreementGate, tallies: Sequence[Tally], number_of_look: int
) -> tuple[Verdict, ...]:
    """One verdict on all pairs, then one on each of the gate's slices. fail: the rate is surely
    above the bound, corrected for the parts (Bonferroni). pass: surely not."""
    share = 1 / (number_of_look * (number_of_look + 1)) if number_of_look else 1.0
    parts = {"overall": [*tallies]}
    parts |= {f"#{name}": [t for t in tallies if name in t.slices] for name in gate.slices}
    level = gate.level * share
    return tuple(
        _verdict(gate, part, of, level, level / len(parts), early=number_of_look == 0)
        for part, of in parts.items()
    )


def _counts(gate: DisagreementGate, tally: Tally) -> tuple[int, int]:
    by_value = gate.form == "numbers"
    if gate.measure == "ser":
        return (tally.differ_numbers if by_value else tally.differ_written), tally.pairs
    return (tally.numbers, tally.number_units) if by_value else (tally.written, tally.units)


def _interval(blocks: Sequence[tuple[int, int]], pairs: int, level: float) -> tuple[float, float]:
    n, units = len(blocks), sum(u for _, u in blocks)
    rate = sum(e for e, _ in blocks) / units
    variance = sum((e - rate * u) ** 2 for e, u in blocks) * n / (n - 1) / units**2
    z = NORMAL.inv_cdf(1 - level)
    t = t_from_z(z, n - 1)
    half = t * math.sqrt(variance)
    inside = min(rate, 1.0)
    alone = inside * (1 - inside) / pairs  # the largest variance of requests that are not alike
    design_effect = max(1.0, variance / alone) if alone else 1.0
    worth = pairs / design_effect * (z / t) ** 2
    return max(0.0, rate - half), max(rate + half, _hoeffding(inside, worth, level))


def _hoeffding(rate: float, requests: float, level: float) -> float:
    """The largest mean of which `requests` values would show `rate` or less with a chance of
    `level`."""
    low, high = rate, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if requests * _relative_entropy(rate, middle) < math.log(1 / level):
            low = middle
        else:
            high = middle
    return high


def _relative_entropy(p: float, q: float) -> float:
    """Of two coins, in nats."""
    if q >= 1:
        return 0.0 if p >= 1 else math.inf
    return (p * math.log(p / q) if p else 0.0) + (
        (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    )


def _verdict(
    gate: DisagreementGate,
    part: str,
    tallies: Sequence[Tally],
    pass_level: float,
    fail_level: float,
    early: bool,
) -> Verdict:
    found, strict = rate_of(gate, tallies, pass_level), rate_of(gate, tallies, fail_level)
    bound = gate.max_percent / 100
    outcome = Outcome.INCONCLUSIVE
    if not early and found.keys >= gate.min_keys:
        if strict.interval[0] > bound:
            outcome = Outcome.FAIL
        elif found.interval[1] <= bound:
            outcome = Outcome.PASS
    return Verdict(
        gate=f"{gate.name} {part}",
        verdict=outcome,
        stable=0.0,
        canary=found.rate,
        difference=found.rate,
        interval=found.interval,
        samples=found.pairs,
        reason=_reason(gate, outcome, found),
        measure=gate.measure,
        form=gate.form,
        confidence=gate.confidence,
        keys=found.keys,
    )


def _reason(gate: DisagreementGate, outcome: Outcome, found: Rate) -> str:
    what = "tokens" if gate.measure == "mer" else "texts"
    if not found.pairs:
        return "no request was heard by both versions yet"
    said = (
        f"{100 * found.rate:.2f} % of the {what} differ in {found.pairs:,} pairs of "
        f"{found.keys:,} keys"
    )
    low, high = found.interval
    if found.keys < gate.min_keys:
        return f"{said}: too few keys, {gate.min_keys} are needed"
    if outcome is Outcome.INCONCLUSIVE and found.pairs < gate.min_pairs:
        return f"{said}: too few pairs, {gate.min_pairs:,} are needed"
    words: Mapping[Outcome, str] = {
        Outcome.PASS: "surely at most",
        Outcome.FAIL: "surely above",
        Outcome.INCONCLUSIVE: "not surely above or below",
    }
    interval = f"({100 * low:.2f} to {100 * high:.2f})"
    return f"{said} {interval}: {words[outcome]} {gate.max_percent:g} %"
