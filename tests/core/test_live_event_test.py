import json
import math
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_traffic import requests

from controller.core.live.event_test import ADDED, KNOWN_AFTER, STRETCHED, EventTest
from controller.core.live.hazard import NO_RISE, Rise, rate
from controller.core.live.pool_counts import PoolCounts, interval

SURE = math.log(1 / 0.006)
FEW = st.lists(
    st.tuples(st.booleans(), st.sampled_from("abcdef"), st.booleans()), min_size=1, max_size=60
)


def after(stream: object, margin: float = 0.01) -> EventTest:
    test = EventTest(margin)
    for canary, key, event in stream:  # type: ignore[attr-defined]
        test.observe(canary, key, event)
    return test


def canary_requests_until_sure(stream: object) -> int | None:
    test = EventTest(0.01)
    for canary, key, event in stream:  # type: ignore[attr-defined]
        test.observe(canary, key, event)
        if test.worse >= SURE:
            return test.canary.requests
    return None


@pytest.mark.parametrize("keys", [40, 400])
def test_equal_versions_are_hardly_ever_sent_home(keys: int) -> None:
    sent = [canary_requests_until_sure(requests(seed, 3_000, keys)) for seed in range(40)]
    assert sum(found is not None for found in sent) <= 1


def test_a_naive_test_on_requests_would_send_many_home() -> None:
    def naive(seed: int) -> bool:
        counts = [[0, 0], [0, 0]]
        for canary, _, failed in requests(seed, 4_000, 40):
            counts[canary][0] += 1
            counts[canary][1] += failed
            (n0, f0), (n1, f1) = counts
            pooled = (f0 + f1) / (n0 + n1)
            if n1 >= 30 and 0 < pooled < 1:
                error = math.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1))
                if (f1 / n1 - f0 / n0) / error > 2.33:  # 1 %, looked at after each request
                    return True
        return False

    assert sum(naive(seed) for seed in range(40)) >= 8


def test_two_percent_more_errors_are_found_within_three_times_walds_floor_on_average() -> None:
    found = [canary_requests_until_sure(requests(s, 40_000, 4_000, extra=0.02)) for s in range(5)]
    assert all(n is not None for n in found)
    assert sum(n or 0 for n in found) / len(found) < 3 * 342


def always_failing(keys: int) -> list[tuple[bool, str, bool]]:
    """600 requests of 30 keys to stable, then every tenth to a canary, where each fails."""
    stable = [(False, f"s{i % 30}", i % 100 == 0) for i in range(600)]
    later = range(200)
    return stable + [
        (i % 10 == 0, f"c{i // 10 % keys}" if i % 10 == 0 else f"s{i % 30}", i % 10 == 0)
        for i in later
    ]


def test_a_canary_that_fails_always_is_caught_though_it_has_five_keys_only() -> None:
    found = canary_requests_until_sure(always_failing(keys=5))
    assert found is not None
    assert found <= KNOWN_AFTER + 10


def test_one_key_that_fails_always_may_be_the_users_fault() -> None:
    assert canary_requests_until_sure(always_failing(keys=1)) is None


def test_a_user_who_always_fails_often_is_no_fault_of_the_version() -> None:
    """Every tenth user fails in every fourth request, on either version."""

    def stream(seed: int) -> Iterator[tuple[bool, str, bool]]:
        draw = random.Random(seed)
        for _ in range(4_000):
            user = draw.randrange(100)
            failed = draw.random() < (0.25 if user % 10 == 0 else 0.002)
            yield user in {0, 10, 1, 2, 3, 4}, f"u{user}", failed

    assert sum(canary_requests_until_sure(stream(seed)) is not None for seed in range(10)) <= 1


def test_no_single_key_counts_for_more_than_its_credit() -> None:
    stable = [(False, f"s{i % 50}", i % 101 == 0) for i in range(5_000)]
    odd = [(i % 20 == 0, "c" if i % 20 == 0 else f"s{i % 50}", i % 100 == 0) for i in range(20_000)]
    assert SURE < after([*stable, *odd]).worse <= math.log(2_000)


def test_a_key_that_always_fails_is_not_odd_where_one_of_stable_does_so_too() -> None:
    stable = [(False, f"s{i % 30}", i % 30 == 0) for i in range(600)]
    broken = [(i % 10 == 0, "c" if i % 10 == 0 else f"s{i % 30}", i % 10 == 0) for i in range(200)]
    assert after([*stable, *broken]).worse < SURE


def slow_requests(
    seed: int, times: float = 1.0, keys: int = 400
) -> Iterator[tuple[bool, str, bool]]:
    """Of one key every second request is slow, of another hardly any, 5 % on average; those of
    the canary's keys are so many times as often slow."""
    draw = random.Random(seed)
    shares = [min(1.0, draw.gammavariate(1.0, 0.05)) for _ in range(keys)]
    canary = [draw.random() < 0.05 for _ in range(keys)]
    for _ in range(24_000):
        key = draw.randrange(keys)
        share = min(1.0, shares[key] * (times if canary[key] else 1))
        yield canary[key], f"k{key}", draw.random() < share


def slow_evidence(seed: int, rises: Sequence[Rise], times: float = 1.0) -> EventTest:
    test = EventTest(0.05, 0.05, rises)
    for canary, key, slow in slow_requests(seed, times):
        test.observe(canary, key, slow)
    return test


def test_what_multiplies_slow_requests_is_found_where_additions_are_refuted_by_fast_users() -> None:
    added = [slow_evidence(seed, ADDED, times=3).worse for seed in range(4)]
    stretched = [slow_evidence(seed, STRETCHED, times=3).worse for seed in range(4)]
    assert sum(stretched) > 1.2 * sum(added)
    assert min(stretched) >= SURE


def test_users_who_are_slow_on_either_version_are_no_fault_of_it() -> None:
    evidence = [slow_evidence(seed, STRETCHED).worse for seed in range(12)]
    assert sum(worse >= SURE for worse in evidence) == 0


def test_a_keys_past_explains_its_rate_under_each_hypothesis() -> None:
    of = (1.0, 100.0)  # shape and size: one bad request in 100, before anything is known
    assert rate(*of, 0, 0, NO_RISE) == pytest.approx(0.01)
    assert rate(*of, 0, 0, Rise(extra=0.02)) == pytest.approx(0.03)
    assert rate(*of, 0, 0, Rise(times=4)) == pytest.approx(0.04)
    many = (100_000, 4_000)  # requests, bad ones: its rate is known, whatever the version does
    for rise in (NO_RISE, Rise(extra=0.02), Rise(times=4)):
        assert rate(*of, *many, rise) == pytest.approx(0.04, rel=0.01)


def test_an_outage_that_hits_both_versions_is_no_news() -> None:
    calm = list(requests(3, 3_000, 200))
    outage = [(canary, key, True) for canary, key, _ in requests(3, 1_000, 200)]
    assert after([*calm, *outage, *calm]).worse < SURE


def test_a_larger_share_of_the_traffic_is_not_taken_for_more_failures() -> None:
    def sent_home(tell: bool) -> int:
        sent = 0
        for seed in range(12):
            test = after(requests(seed, 3_000, 400, share=0.01))
            if tell:
                test.share_changed()
            draw = random.Random(seed)
            for canary, key, _ in requests(seed, 1_500, 400, share=0.3):
                test.observe(canary, f"later {key}", event=draw.random() < 0.05)
            sent += test.worse >= SURE
        return sent

    assert sent_home(tell=True) == 0


def test_an_equal_version_passes_and_one_worse_by_the_margin_does_not() -> None:
    passed = math.log(1 / 0.05)
    equal = [after(requests(s, 80_000, 400)).within >= passed for s in range(2)]
    worse = [after(requests(s, 80_000, 400, extra=0.0101)).within >= passed for s in range(2)]
    assert all(equal)
    assert not any(worse)


def test_one_that_is_better_passes_and_is_never_sent_home() -> None:
    better = ((c, k, failed and not c) for c, k, failed in requests(5, 30_000, 400))
    test = after(better)
    assert test.worse < SURE
    assert test.within >= math.log(1 / 0.05)


def test_evidence_survives_a_crash_of_the_controller() -> None:
    stream = list(requests(7, 6_000, 60, extra=0.03))
    before = after(stream[:3_000])
    again = EventTest.from_json(json.loads(json.dumps(before.to_json())))
    for canary, key, event in stream[3_000:]:
        again.observe(canary, key, event)
    whole = after(stream)
    assert again.worse == pytest.approx(whole.worse)
    assert again.to_json() == whole.to_json()


@given(FEW)
def test_any_sequence_gives_numbers_and_survives_json(stream: list[tuple[bool, str, bool]]) -> None:
    test = after(stream)
    assert math.isfinite(test.worse)
    assert math.isfinite(test.within)
    assert EventTest.from_json(json.loads(json.dumps(test.to_json()))).to_json() == test.to_json()


def counts(*keys: tuple[int, int]) -> PoolCounts:
    """Of keys with so many requests and so many bad ones."""
    pool = PoolCounts()
    for number, (made, bad) in enumerate(keys):
        for i in range(made):
            pool.count(f"k{number}", i < bad)
    return pool


def test_the_interval_is_wider_where_few_keys_make_the_same_requests() -> None:
    stable = counts(*[(100, 1)] * 100)
    many = interval(stable, counts(*[(10, 0)] * 90, *[(10, 1)] * 10))
    few = interval(stable, counts(*[(100, 0)] * 9, (100, 10)))
    assert few[1] - few[0] > 1.5 * (many[1] - many[0])


def test_nothing_is_known_of_a_canary_with_one_key() -> None:
    assert interval(counts((100, 1), (100, 1)), counts((1_000, 0))) == (-1.0, 1.0)


def test_the_interval_holds_at_every_look() -> None:
    missed = 0
    for seed in range(20):
        test = EventTest(0.01)
        outside = False
        for number, (canary, key, event) in enumerate(requests(seed, 4_000, 400, share=0.3)):
            test.observe(canary, key, event)
            if number % 100 == 99 and test.canary.keys >= 20:
                low, high = interval(test.stable, test.canary)
                outside |= not low <= 0 <= high
        missed += outside
    assert missed <= 2
