import json

import numpy as np
import pytest

from benchmarks import verdict
from benchmarks.rollouts_simulated.leak import simulate_leaks
from benchmarks.rollouts_simulated.ours import EventTests
from benchmarks.rollouts_simulated.peers import PEERS, Intervals, end, tune
from benchmarks.rollouts_simulated.simulation import simulate
from benchmarks.rollouts_simulated.traffic import BASE_RATE, RATE_SPREAD, Fault, Traffic
from controller.core.live.event_test import EventTest

FLAGGER, ARGO = PEERS


def test_walds_floor_is_the_known_one() -> None:
    assert verdict.wald_floor() == pytest.approx(342, abs=1)


@pytest.mark.parametrize("shape", ["beta", "lognormal", "two kinds"])
def test_users_rates_have_the_mean_and_the_spread_that_were_agreed(shape: str) -> None:
    rng = np.random.default_rng(1)
    traffic = Traffic(rng, 100, 400, Fault(), shape)
    assert traffic._equal.mean() == pytest.approx(BASE_RATE, rel=0.1)
    assert traffic._equal.std() == pytest.approx(RATE_SPREAD, rel=0.2)


@pytest.mark.parametrize("extra", [0.0, 0.02])
def test_the_simulated_evidence_is_the_controllers(extra: float) -> None:
    """But for rates that are summed once in 120 requests rather than at each."""
    traffic = Traffic(np.random.default_rng(3), 20, 200, Fault(extra))
    many = EventTests(traffic.is_canary, 20, margin=0.01, expected=0.01, budget=0.006)
    one = [EventTest(0.01) for _ in range(20)]
    for _ in range(30):
        made = traffic.made
        chunk = traffic.next()
        many.observe(chunk, chunk.failed, made)
        for row, test in enumerate(one):
            for column, key in enumerate(chunk.key[row]):
                canary, failed = chunk.canary[row, column], chunk.failed[row, column]
                test.observe(bool(canary), str(key), bool(failed))
    apart = many.most - [test.worse for test in one]
    assert abs(apart.mean()) < 0.2
    assert np.abs(apart).mean() < 0.6


def intervals(*bad: int, requests: int = 100) -> Intervals:
    counts = np.array([bad])
    return Intervals(np.full_like(counts, requests), counts, counts)


def test_flaggers_failed_checks_add_up_and_it_goes_back_an_interval_later() -> None:
    seen = intervals(5, 0, 5, 0, 5, 7, 7)
    ended = end(FLAGGER, seen, seen.failed(0.01), 3)
    assert ended.rolled_back == 1
    assert ended.bad.tolist() == [5 + 5 + 5 + 7]


def test_argo_ends_with_the_first_failed_measurement_over_its_limit() -> None:
    seen = intervals(0, 5, 7)
    assert end(ARGO, seen, seen.failed(0.01), 1).bad.tolist() == [5]


def test_a_peer_that_never_fails_serves_all_bad_answers() -> None:
    seen = intervals(1, 1, 1)
    ended = end(ARGO, seen, seen.failed(0.5), 1)
    assert (ended.rolled_back, ended.bad.tolist()) == (0, [3])


def test_a_peer_is_tuned_to_what_keeps_equal_versions_and_serves_least() -> None:
    equal = intervals(2, 3, 2, 3, 2)
    worse = intervals(6, 2, 6, 6, 2)
    choice = tune(ARGO, equal, worse)
    assert choice is not None
    assert end(ARGO, equal, equal.failed(choice[0]), choice[1]).rolled_back == 0
    assert end(ARGO, worse, worse.failed(choice[0]), choice[1]).bad.tolist() == [6]


def test_a_simulation_is_the_same_with_the_same_seed_and_another_with_another() -> None:
    def evidence(seed: int) -> list[int]:
        outcome = simulate(seed, 5, 400, 6_000, Fault(0.3), bins=False)
        return outcome.success.requests.tolist()

    assert evidence(1) == evidence(1) != evidence(2)


def test_a_leak_is_found_before_the_memory_is_full_and_settling_is_none() -> None:
    leaks = simulate_leaks(1, 20)
    assert not leaks.false.any()
    assert leaks.missed == 0
    assert leaks.hours < 12


def test_it_prints_a_table_and_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    verdict.main(["--rollouts", "2", "--requests", "6000"])
    *table, last = capsys.readouterr().out.strip().split("\n")
    found = json.loads(last)
    assert any("+2 % errors" in line for line in table)
    assert verdict._TARGETS.keys() <= found.keys()
    assert {row["users"] for row in found["rows"]} == {40, 400, 4000}
    assert {row["rate"] for row in found["rows"]} == {1, 10, 100}
