"""When disagreement is too much, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.errors import InvalidConfig
from controller.core.shadow.gate import DisagreementGate
from controller.core.shadow.judge import Tally, judge, look, rate_of
from controller.core.verdict import Outcome

GATE = DisagreementGate(max_percent=5)


def tally(key: str, pairs: int, units: int, edits: int, slices: tuple[str, ...] = ()) -> Tally:
    return Tally(key, slices, pairs, units, edits, min(pairs, edits))


def of_keys(keys: int, edits: int, slices: tuple[str, ...] = ()) -> list[Tally]:
    """10 pairs of 100 tokens each; `edits` on average, a little more or less."""
    return [tally(f"k{n}", 10, 1000, edits + (n % 3) - 1, slices) for n in range(keys)]


def outcomes(gate: DisagreementGate, tallies: list[Tally], looks: int = 1) -> list[Outcome]:
    return [verdict.verdict for verdict in judge(gate, tallies, looks)]


def test_clearly_below_the_bound_passes_and_clearly_above_fails() -> None:
    assert outcomes(GATE, of_keys(40, 20)) == [Outcome.PASS]
    assert outcomes(GATE, of_keys(40, 90)) == [Outcome.FAIL]


def test_near_the_bound_nothing_is_sure() -> None:
    tallies = [tally(f"k{n}", 10, 1000, 100 * (n % 2)) for n in range(40)]
    (verdict,) = judge(GATE, tallies, 1)
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert verdict.interval[0] < 0.05 < verdict.interval[1]
    assert "not surely above or below 5 %" in verdict.reason


def test_few_keys_are_told_as_few_however_many_their_requests() -> None:
    tallies = [tally(f"k{n}", 1000, 100_000, 9000) for n in range(4)]
    (verdict,) = judge(GATE, tallies, 1)
    assert (verdict.verdict, verdict.keys) == (Outcome.INCONCLUSIVE, 4)
    assert "too few keys" in verdict.reason


def test_no_disagreement_at_all_is_not_taken_for_certainty() -> None:
    few = [tally(f"k{n}", 20, 200, 0) for n in range(12)]
    many = [tally(f"k{n}", 20, 200, 0) for n in range(200)]
    strict = DisagreementGate(max_percent=1)
    assert outcomes(strict, few) == [Outcome.INCONCLUSIVE]
    assert outcomes(strict, many) == [Outcome.PASS]


def test_a_bad_slice_fails_a_gate_whose_average_is_good() -> None:
    gate = DisagreementGate(max_percent=5, slices=("digits",))
    tallies = of_keys(40, 10) + of_keys(12, 200, ("digits",))
    good, bad = judge(gate, [*tallies, *of_keys(400, 10)], 1)
    assert (good.gate, good.verdict) == ("disagreement overall", Outcome.PASS)
    assert (bad.gate, bad.verdict) == ("disagreement #digits", Outcome.FAIL)


def test_requests_can_be_counted_instead_of_tokens() -> None:
    gate = DisagreementGate(measure="ser", max_percent=5)
    assert rate_of(gate, [tally("a", 10, 1000, 2), tally("b", 10, 10, 0)], 0.025).rate == 0.1


def test_looks_are_counted_by_half_as_many_pairs_more() -> None:
    assert [look(GATE, pairs) for pairs in (0, 199, 200, 299, 300, 450)] == [0, 0, 1, 1, 2, 3]
    assert outcomes(GATE, of_keys(40, 90), looks=0) == [Outcome.INCONCLUSIVE]


def test_who_keeps_looking_is_not_wrong_more_often() -> None:
    """Keys differ in how much they disagree; the true rate is the bound: 2.5 % may fail."""
    gate = DisagreementGate(max_percent=5, min_pairs=200)
    seed, rollouts = 20261121, 400
    generator = np.random.default_rng(seed)
    wrong = sum(_fails_sometime(gate, generator) for _ in range(rollouts))
    assert wrong / rollouts < 0.045


def test_rare_disagreement_at_the_bound_passes_no_more_often_than_it_says() -> None:
    """Where few requests differ the variance is small just when too few of them were seen."""
    gate = DisagreementGate(max_percent=1)
    generator = np.random.default_rng(20261121)
    wrong = sum(_passes_sometime(gate, generator) for _ in range(200))
    assert wrong / 200 <= 0.025


def _passes_sometime(gate: DisagreementGate, generator: np.random.Generator) -> bool:
    """One request in a hundred differs, and then wholly; 40 keys, unequally busy and careful."""
    keys, most = 40, 1600
    busy = generator.lognormal(0, 1, keys)
    whose = generator.choice(keys, size=most, p=busy / busy.sum())
    differs = generator.random(most) < generator.beta(0.2, 19.8, keys)[whose]
    for number in range(1, 7):
        seen = round(200 * 1.5 ** (number - 1))
        pairs = np.bincount(whose[:seen], minlength=keys)
        bad = np.bincount(whose[:seen], weights=differs[:seen], minlength=keys).astype(int)
        tallies = [tally(str(k), int(pairs[k]), int(10 * pairs[k]), int(10 * bad[k]))
                   for k in range(keys) if pairs[k]]  # fmt: skip
        if outcomes(gate, tallies, number)[0] is Outcome.PASS:
            return True
    return False


def test_where_nothing_was_heard_twice_the_interval_says_nothing_and_is_finite() -> None:
    for tallies in ([], [tally("k", 10, 100, 3)]):
        (verdict,) = judge(GATE, tallies, 0)
        assert verdict.interval == (0.0, 1.0)


def _fails_sometime(gate: DisagreementGate, generator: np.random.Generator) -> bool:
    keys = 60
    own = generator.gamma(4, 0.05 / 4, keys)  # mean 5 %
    edits = np.zeros(keys, int)
    pairs = np.zeros(keys, int)
    for number in range(1, 7):
        total = round(200 * 1.5 ** (number - 1))
        asked = generator.multinomial(total - pairs.sum(), np.full(keys, 1 / keys))
        edits += generator.binomial(asked * 20, np.minimum(own, 1))
        pairs += asked
        tallies = [tally(str(k), int(pairs[k]), int(20 * pairs[k]), int(edits[k]))
                   for k in range(keys) if pairs[k]]  # fmt: skip
        if outcomes(gate, tallies, number)[0] is Outcome.FAIL:
            return True
    return False


@pytest.mark.parametrize(
    "values",
    [{"max_percent": 0}, {"max_percent": 100}, {"min_pairs": 5}, {"min_keys": 1},
     {"confidence": 50}],
)  # fmt: skip
def test_a_gate_that_makes_no_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(values))):
        DisagreementGate(**values)  # type: ignore[arg-type]
