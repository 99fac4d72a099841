"""Gates on live traffic, among them what users of Kayenta found misjudged:
spinnaker/spinnaker#6278, spinnaker/kayenta#426 and #780."""

import json
import math
import random

import pytest
from live_traffic import observation, requests

from controller.core.errors import InvalidConfig
from controller.core.live.evidence import LiveEvidence
from controller.core.live.gate import FAIL_BUDGET, Kind, LiveGate
from controller.core.live.observation import NodeSample, Observation
from controller.core.verdict import Outcome, Verdict

SUCCESS = LiveGate("success", Kind.SUCCESS)
LATENCY = LiveGate("latency", Kind.LATENCY)
EMPTY = LiveGate("empty", Kind.EMPTY)
MEMORY = LiveGate("gpu-memory", Kind.MEMORY)
DEGRADED = LiveGate("degraded", Kind.DEGRADED)
GIB = 2.0**30


def verdict(gate: LiveGate, observations: list[Observation]) -> Verdict:
    evidence = LiveEvidence([gate])
    evidence.observe(observations)
    [found] = evidence.verdicts()
    return found


def interleaved(stable: list[float], canary: list[float], each: int = 1) -> list[Observation]:
    """Values of both as seconds, each from a key of its own; `each` of stable's for one value."""
    seen = []
    for number, (before, after) in enumerate(zip(stable, canary, strict=True)):
        for i in range(each):
            seen.append(observation(False, f"s{number}.{i}", seconds=before))
        seen.append(observation(True, f"c{number}", seconds=after))
    return seen


def warm_up(values: list[float]) -> list[Observation]:
    """Stable before the canary came: what slow means is known."""
    return [observation(False, f"w{i}", seconds=values[i % len(values)]) for i in range(200)]


# Kayenta


def test_seven_of_ten_values_at_a_hundred_against_ones_fail() -> None:
    canary = [100.0] * 7 + [1.0] * 3
    seen = warm_up([1.0]) + interleaved([1.0] * 10, canary, each=10)
    found = verdict(LATENCY, seen)
    assert found.verdict is Outcome.FAIL
    assert (found.stable, found.canary) == (0, 0.7)


def test_a_few_errors_where_stable_has_none_fail() -> None:
    """kayenta#426: errors of six minutes, 0 1 2 1 0 0 against none."""
    seen = []
    for minute, errors in enumerate([0, 1, 2, 1, 0, 0]):
        for i in range(100):
            seen.append(observation(False, f"s{i}"))
            if i % 20 == 0:
                seen.append(observation(True, f"c{minute}.{i}", ok=i // 20 >= errors))
    assert verdict(SUCCESS, seen).verdict is Outcome.FAIL


def test_the_same_few_errors_in_as_many_requests_as_stable_made_are_not_sure_yet() -> None:
    seen = []
    for minute, errors in enumerate([0, 1, 2, 1, 0, 0]):
        for i in range(100):
            seen.append(observation(False, f"s{i}"))
            seen.append(observation(True, f"c{i}", ok=minute == 0 or i >= errors))
    assert verdict(SUCCESS, seen).verdict is Outcome.INCONCLUSIVE


def test_no_errors_at_all_on_either_side_are_an_answer() -> None:
    """kayenta#426, too: "to prevent the judge from returning NoData"."""
    seen = [observation(i % 20 == 0, f"{i % 20}.{i % 400}") for i in range(20_000)]
    found = verdict(SUCCESS, seen)
    assert found.verdict is Outcome.PASS
    assert found.stable == found.canary == 0


def test_more_spread_around_the_same_middle_fails() -> None:
    """kayenta#780, case 1: between 10 and 17.7 for one, 1 or 100 for the other."""
    steady = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5]
    wild = [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0]
    seen = warm_up(steady) + interleaved(steady, wild, each=10)
    assert verdict(LATENCY, seen).verdict is Outcome.FAIL


def test_less_spread_around_the_same_middle_does_not_fail() -> None:
    steady = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5]
    wild = [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0]
    seen = warm_up(wild) + interleaved(wild, steady, each=10)
    assert verdict(LATENCY, seen).verdict is not Outcome.FAIL


# Requests


def test_two_keys_are_too_few_to_pass() -> None:
    seen = [observation(i % 10 == 0, f"{i % 10 == 0}{i % 2}") for i in range(20_000)]
    found = verdict(SUCCESS, seen)
    assert found.verdict is Outcome.INCONCLUSIVE
    assert "too few keys" in found.reason
    assert found.keys == 1


def test_the_reason_tells_rates_requests_and_keys() -> None:
    seen = [observation(c, k, ok=not bad) for c, k, bad in requests(2, 20_000, 400, extra=0.1)]
    found = verdict(SUCCESS, seen)
    assert found.verdict is Outcome.FAIL
    assert "failed requests:" in found.reason
    assert f"{found.samples:,}" in found.reason
    assert f"{found.keys} keys" in found.reason
    assert found.interval[0] > 0


def test_empty_answers_are_counted_among_those_that_succeeded() -> None:
    seen = [observation(c, k, empty=bad) for c, k, bad in requests(4, 20_000, 400, extra=0.1)]
    assert verdict(EMPTY, seen).verdict is Outcome.FAIL
    assert verdict(SUCCESS, seen).verdict is not Outcome.FAIL


def transcribed(seed: int, slowdown: float, longer: float = 1.0) -> list[Observation]:
    """Answers take a fifth of the audio's length; the canary's audio may be `longer`."""
    draw = random.Random(seed)
    seen = []
    for canary, key, _ in requests(seed, 12_000, 400):
        audio = draw.uniform(1, 60) * (longer if canary else 1)
        seconds = audio / 5 * draw.lognormvariate(0, 0.4) * (slowdown if canary else 1)
        seen.append(observation(canary, key, seconds=seconds, audio_seconds=audio))
    return seen


def test_half_as_slow_again_fails() -> None:
    assert verdict(LATENCY, transcribed(1, slowdown=1.5)).verdict is Outcome.FAIL


def test_longer_audio_takes_longer_and_is_no_fault() -> None:
    assert verdict(LATENCY, transcribed(1, slowdown=1.0, longer=1.8)).verdict is not Outcome.FAIL


def test_an_unknown_length_tells_nothing_about_latency() -> None:
    seen = [observation(i % 2 == 0, f"{i % 40}", audio_seconds=0.0) for i in range(500)]
    assert verdict(LATENCY, seen).samples == 0


# Nodes


def sampled(gate: LiveGate, samples: list[NodeSample]) -> Verdict:
    evidence = LiveEvidence([gate])
    for sample in samples:
        evidence.observe_nodes([sample])
    [found] = evidence.verdicts()
    return found


def memory(per_hour: float, hours: float = 6, seed: int = 1) -> list[NodeSample]:
    """A GPU of 24 GiB: 12 in use, 2 more within half an hour; then `per_hour` GiB."""
    draw = random.Random(seed)
    samples = []
    for minute in range(round(hours * 60)):
        used = 12 + 2 * (1 - math.exp(-minute / 8)) + per_hour * minute / 60 + draw.gauss(0, 0.2)
        samples.append(NodeSample(True, "c1", 60.0 * minute, False, used * GIB, 24 * GIB))
    return samples


def test_a_slow_leak_fails_before_the_memory_is_full() -> None:
    found = sampled(MEMORY, memory(per_hour=0.5))
    assert found.verdict is Outcome.FAIL
    assert "full in about" in found.reason


def test_memory_that_only_settles_passes() -> None:
    assert sampled(MEMORY, memory(per_hour=0)).verdict is Outcome.PASS


def test_memory_is_inconclusive_for_the_first_hours() -> None:
    assert sampled(MEMORY, memory(per_hour=0, hours=1)).verdict is Outcome.INCONCLUSIVE
    assert sampled(MEMORY, []).verdict is Outcome.INCONCLUSIVE


def test_settled_memory_is_hardly_ever_called_a_leak() -> None:
    failed = [
        sampled(MEMORY, memory(0, hours=8, seed=s)).verdict is Outcome.FAIL for s in range(30)
    ]
    assert not any(failed)


def test_a_node_that_stays_degraded_fails_and_one_that_was_for_a_moment_does_not() -> None:
    def looks(*degraded: bool) -> Outcome:
        return sampled(DEGRADED, [NodeSample(True, "c1", 0.0, d) for d in degraded]).verdict

    assert looks(True, True, True) is Outcome.FAIL
    assert looks(True, True, False, True) is Outcome.PASS
    assert looks(False) is Outcome.INCONCLUSIVE


# All together


def test_all_evidence_survives_a_crash_of_the_controller() -> None:
    gates = [SUCCESS, LATENCY, EMPTY, MEMORY, DEGRADED]
    seen, nodes = transcribed(3, slowdown=1.1)[:6_000], memory(0.3, hours=3)
    whole, broken = LiveEvidence(gates), LiveEvidence(gates)
    for number in range(60):
        for evidence in (whole, broken):
            evidence.observe(seen[number * 100 : number * 100 + 100])
            evidence.observe_nodes(nodes[number * 3 : number * 3 + 3][-1:])
        broken = LiveEvidence.from_json(gates, json.loads(json.dumps(broken.to_json())))
    assert broken.verdicts() == whole.verdicts()


def test_the_budgets_of_all_gates_are_one_percent_together() -> None:
    assert sum(FAIL_BUDGET.values()) == pytest.approx(0.01)


def test_a_gate_without_sense_is_refused() -> None:
    for points in (0, 100):  # all of them bad is no bound
        with pytest.raises(InvalidConfig, match="max_increase_points"):
            LiveGate("success", Kind.SUCCESS, max_increase_points=points)
    with pytest.raises(InvalidConfig, match="min_keys"):
        LiveGate("success", Kind.SUCCESS, min_keys=1)
