"""Copies must not slow stable down."""

from __future__ import annotations

import numpy as np
import pytest

from controller.core.errors import InvalidConfig
from controller.core.shadow.strain import MOST_KEYS, Strain, StrainGate
from controller.core.verdict import Outcome

GATE = StrainGate()


def strained(factor: float, *, keys: int = 60, requests: int = 600, seed: int = 7) -> Strain:
    """2,000 requests alone, then `requests` that take `factor` times as long."""
    generator = np.random.default_rng(seed)
    strain = Strain()
    for n in range(2000):
        strain.observe(False, f"k{n % keys}", generator.gamma(9, 0.1), 5.0)
    for n in range(requests):
        strain.observe(True, f"k{n % keys}", factor * generator.gamma(9, 0.1), 5.0)
    return strain


def test_stable_as_fast_as_before_passes() -> None:
    verdict = strained(1.0).judge(GATE)
    assert verdict.verdict is Outcome.PASS
    assert verdict.canary == pytest.approx(0.05, abs=0.02)


def test_stable_slower_by_half_fails_and_says_that_copies_end() -> None:
    verdict = strained(1.5).judge(GATE)
    assert verdict.verdict is Outcome.FAIL
    assert "nothing is copied any more" in verdict.reason


def test_few_requests_or_few_keys_tell_nothing() -> None:
    assert strained(1.5, requests=150).judge(GATE).verdict is Outcome.INCONCLUSIVE
    assert strained(1.5, keys=4).judge(GATE).verdict is Outcome.INCONCLUSIVE


def test_without_times_from_before_there_is_nothing_to_compare() -> None:
    strain = Strain()
    strain.observe(True, "k", 9.0, 5.0)
    verdict = strain.judge(GATE)
    assert (verdict.verdict, verdict.samples) == (Outcome.INCONCLUSIVE, 0)
    assert "nothing to compare" in verdict.reason


def test_it_outlives_the_controller() -> None:
    strain = strained(1.5)
    assert Strain.from_json(strain.to_json()).judge(GATE) == strain.judge(GATE)


def test_of_very_many_users_only_so_many_are_kept() -> None:
    strain = strained(1.0)
    for n in range(MOST_KEYS + 100):
        strain.observe(True, f"another{n}", 1.0, 5.0)
    assert len(strain.to_json()["counts"]) == MOST_KEYS
    assert strain.judge(GATE).samples == strain.requests == 600 + MOST_KEYS - 60


def test_another_rollout_begins_anew_and_knows_how_stable_is_alone() -> None:
    strain = strained(1.5)
    strain.begin_anew()
    assert strain.judge(GATE).samples == 0
    strain.observe(True, "k", 9.0, 5.0)
    assert strain.judge(GATE).samples == 1


@pytest.mark.parametrize(
    ("values", "key"),
    [({"max_slow_percent": 5}, "max_slow_percent"), ({"min_requests": 1}, "min_requests"),
     ({"min_keys": 1}, "min_keys")],
)  # fmt: skip
def test_a_gate_that_makes_no_sense_is_refused(values: dict[str, float], key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^{key}: "):
        StrainGate(**values)  # type: ignore[arg-type]
