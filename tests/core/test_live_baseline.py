"""Live gates that compare with a baseline: stable's requests tell how users differ, no more."""

from __future__ import annotations

import json
from collections.abc import Iterable

from live_traffic import observation

from controller.core.live.event_test import EventTest
from controller.core.live.evidence import LiveEvidence
from controller.core.live.gate import Kind, LiveGate
from controller.core.verdict import Outcome, Verdict

SUCCESS = LiveGate("success", Kind.SUCCESS)
LATENCY = LiveGate("latency", Kind.LATENCY)


def said(
    gate: LiveGate, *, stable: Iterable[float | bool], both: Iterable[float | bool]
) -> Verdict:
    """Of seconds, or of whether it was answered: stable's, then those of baseline and canary."""
    evidence = LiveEvidence([gate])
    for number, value in enumerate(stable):
        evidence.observe([seen(False, f"s{number % 200}", value, compared=False)])
    for number, value in enumerate(both):
        key = number % 20
        evidence.observe([seen(False, f"b{key}", value), seen(True, f"c{key}", value)])
    return evidence.verdicts()[0]


def seen(canary: bool, key: str, value: float | bool, **more: bool) -> object:
    if isinstance(value, bool):
        return observation(canary, key, ok=value, **more)
    return observation(canary, key, seconds=value, **more)


def test_requests_that_are_not_compared_are_in_no_count() -> None:
    found = said(SUCCESS, stable=[False] * 500, both=[True] * 100)
    assert (found.stable, found.canary, found.samples) == (0.0, 0.0, 100)
    assert "against 0.00 % of 100 (20 keys against 20)" in found.reason


def test_a_stable_that_never_fails_makes_no_fault_of_what_fresh_nodes_do_alike() -> None:
    one_in_five = [number % 5 > 0 for number in range(1000)]
    found = said(SUCCESS, stable=[True] * 2000, both=one_in_five)
    assert found.verdict is not Outcome.FAIL


def test_who_is_slow_is_told_from_the_baseline_and_not_from_a_warm_stable() -> None:
    found = said(LATENCY, stable=[0.1] * 2000, both=[1.0] * 1000)
    assert (found.stable, found.canary) == (0.0, 0.0)


def test_a_user_like_many_of_stables_is_less_evidence() -> None:
    """One of the canary's twenty users fails at every second request, which no user of the
    baseline does; among stable's, one in ten does."""

    def evidence(learned: bool) -> float:
        test = EventTest(0.01)
        for number in range(4000 * learned):
            key = number % 200
            test.learn(f"s{key}", event=key % 10 == 0 and number // 200 % 2 == 0)
        for number in range(400):
            key = number % 20
            test.observe(False, f"b{key}", False)
            test.observe(True, f"c{key}", key == 0 and number // 20 % 2 == 0)
        return test.worse

    assert evidence(learned=True) < evidence(learned=False)


def test_what_was_learned_outlives_the_controller() -> None:
    whole, first = EventTest(0.01), EventTest(0.01)
    for test in (whole, first):
        for number in range(300):
            test.learn(f"s{number % 30}", event=number % 7 == 0)
    again = EventTest.from_json(json.loads(json.dumps(first.to_json())))
    for test in (whole, again):
        test.learn("s1", event=True)
        test.observe(True, "c1", True)
    assert again.to_json() == whole.to_json()


def test_too_few_keys_of_the_baseline_pass_nothing() -> None:
    evidence = LiveEvidence([SUCCESS])
    for number in range(20_000):
        evidence.observe([observation(False, "b"), observation(True, f"c{number % 50}")])
    (found,) = evidence.verdicts()
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "too few keys" in found.reason
