import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.errors import Refused
from controller.core.gate import ErrorRateGate
from controller.core.scoring import Score, UtteranceScore
from controller.core.verdict import (
    MINIMUM_UTTERANCES,
    Outcome,
    Verdict,
    check_size,
    judge,
    required_utterances,
)

GATE = ErrorRateGate(max_increase_points=1.0)
LENGTH = 10
COUNTS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=60)
FEW = settings(max_examples=20, deadline=None)


def a_score(errors: list[int], eval_set: str = "digits", length: int = LENGTH) -> Score:
    """One utterance of `length` characters for each number of errors."""
    return Score(
        tuple(
            UtteranceScore(eval_set, f"u{i}", "一" * length, "二" * n + "一" * (length - n))
            for i, n in enumerate(errors)
        )
    )


def overall(stable: list[int], canary: list[int], gate: ErrorRateGate = GATE) -> Verdict:
    return judge(gate, a_score(stable), a_score(canary))[0]


def test_identical_transcripts_pass() -> None:
    verdict = overall([1, 0, 2, 0] * 50, [1, 0, 2, 0] * 50)
    assert verdict.verdict is Outcome.PASS
    assert verdict.difference == 0
    assert verdict.samples == 200


def test_identical_transcripts_are_not_certain_for_ever() -> None:
    low, high = overall([1, 0, 2, 0] * 50, [1, 0, 2, 0] * 50).interval
    assert -0.01 < low < 0 < high < 0.01


def test_where_no_version_ever_erred_a_few_hundred_recordings_prove_little() -> None:
    verdict = overall([0] * 200, [0] * 200)  # one in a hundred may be lost whole all the same
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert verdict.reason.endswith("it takes about 300 utterances to know")
    assert overall([0] * 400, [0] * 400).verdict is Outcome.PASS


def test_many_more_errors_fail() -> None:
    verdict = overall([0] * 200, [1, 0] * 100)
    assert verdict.verdict is Outcome.FAIL
    assert (verdict.stable, verdict.canary) == (0, 0.05)
    assert "+5.00 points" in verdict.reason


def test_fewer_errors_pass() -> None:
    assert overall([1, 0] * 100, [0] * 200).verdict is Outcome.PASS


def test_the_interval_is_about_that_of_matched_pairs() -> None:
    # 400 utterances of 10 characters, 40 with one error more: D = 40/4000. The deviations are
    # 1 - 0.1 (40 times) and 0 - 0.1 (360 times); their squares sum to 32.4 + 3.6 = 36.
    verdict = overall([0] * 400, [1] * 40 + [0] * 360)
    half_width = 1.96 * math.sqrt(36 / 399) / math.sqrt(400) / 10
    assert verdict.difference == pytest.approx(0.01)
    assert verdict.interval == pytest.approx((0.01 - half_width, 0.01 + half_width), abs=0.0005)


def test_what_is_hard_for_both_versions_drops_out() -> None:
    stable = [5, 0, 9, 1] * 50
    canary = [n + (i == 0) for i, n in enumerate(stable)]
    low, high = overall(stable, canary).interval
    assert high - low < 0.02  # unpaired, it would be 0.14


def test_a_difference_at_the_bound_is_inconclusive_and_says_what_it_takes() -> None:
    verdict = overall([0] * 1000, [1] * 100 + [0] * 900)  # 1.0 points more, bound 1.0
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert "no number of utterances would tell" in verdict.reason


def test_a_wide_spread_is_inconclusive_and_says_how_many_utterances_it_takes() -> None:
    verdict = overall([10, 0] * 20, [0, 10] * 20)  # one up, one down: D = 0, spread 100 points
    assert verdict.verdict is Outcome.INCONCLUSIVE
    said = re.search(r"about ([\d,]+) utterances", verdict.reason)
    assert said is not None
    assert int(said[1].replace(",", "")) == pytest.approx(required_utterances(1.0, 100), rel=0.05)


def test_near_the_bound_it_says_how_many_utterances_decide() -> None:
    near = overall([0] * 1000, [1] * 90 + [0] * 910)  # 0.9 points
    assert near.verdict is Outcome.INCONCLUSIVE
    assert "so near the bound" in near.reason


def test_a_slice_that_is_worse_fails_although_the_average_is_within_the_bound() -> None:
    stable = Score(
        a_score([0] * 100, "digits").utterances + a_score([0] * 900, "service").utterances
    )
    canary = Score(
        a_score([1, 0] * 50, "digits").utterances + a_score([0] * 900, "service").utterances
    )
    verdicts = {v.gate: v.verdict for v in judge(GATE, stable, canary)}
    assert verdicts == {
        "error-rate overall": Outcome.PASS,
        "error-rate digits": Outcome.FAIL,
        "error-rate service": Outcome.PASS,
    }


def test_a_gate_judges_only_its_own_eval_sets() -> None:
    both = Score(a_score([0] * 50, "digits").utterances + a_score([0] * 50, "music").utterances)
    gate = ErrorRateGate(eval_sets=("digits",))
    assert [v.gate for v in judge(gate, both, both)] == ["error-rate overall", "error-rate digits"]
    assert judge(gate, both, both)[0].samples == 50


def test_nothing_scored_is_inconclusive_with_a_reason() -> None:
    (verdict,) = judge(GATE, Score(()), Score(()))
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert verdict.samples == 0
    assert verdict.reason == "no utterance was scored: nothing is known"


def test_an_eval_set_that_was_not_scored_is_inconclusive() -> None:
    gate = ErrorRateGate(eval_sets=("digits", "music"))
    verdicts = judge(gate, a_score([0] * 50), a_score([0] * 50))
    assert verdicts[-1].gate == "error-rate music"
    assert verdicts[-1].verdict is Outcome.INCONCLUSIVE


def test_a_handful_of_utterances_never_decides() -> None:
    few = MINIMUM_UTTERANCES - 1
    assert overall([0] * few, [5] * few).verdict is Outcome.INCONCLUSIVE
    assert overall([0] * few, [0] * few).verdict is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("canary", [a_score([0] * 39), a_score([0] * 40, length=11)])
def test_scores_of_different_utterances_are_refused(canary: Score) -> None:
    with pytest.raises(Refused, match="not of the same utterances"):
        judge(GATE, a_score([0] * 40), canary)


def test_the_gates_measure_decides_what_is_compared() -> None:
    verdict = judge(ErrorRateGate(measure="wer"), a_score([0] * 40), a_score([9] * 40))[0]
    assert verdict.difference == 1  # each reference is one word


@given(COUNTS)
@FEW
def test_swapping_the_versions_mirrors_the_verdict(counts: list[tuple[int, int]]) -> None:
    one, other = ([pair[i] for pair in counts] for i in (0, 1))
    there, back = overall(one, other), overall(other, one)
    assert there.difference == -back.difference
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.difference == pytest.approx(there.canary - there.stable)


@given(COUNTS)
@FEW
def test_pass_and_fail_are_what_the_interval_says(counts: list[tuple[int, int]]) -> None:
    verdict = overall([one for one, _ in counts], [other for _, other in counts])
    low, high = verdict.interval
    assert low <= verdict.difference <= high
    if verdict.verdict is Outcome.FAIL:
        assert low > 0.01
    if verdict.verdict is Outcome.PASS:
        assert high <= 0.01
    assert verdict.reason


def test_the_numbers_of_utterances_are_those_of_the_formula() -> None:
    assert required_utterances(0.3, 3.6, 0) == 1131  # ((1.960 + 0.842) x 3.6 / 0.3)^2 = 1130.3
    assert required_utterances(1.0, 0, 22) == 44  # 2 x 22 / 1
    assert required_utterances(1.0) == 117  # (1.960 + 0.842) x 2.4 / sqrt(117) + 2 x 22 / 117 = 1.0


@pytest.mark.parametrize("bound", [0.75, 1.0])
def test_200_utterances_carry_the_bounds_of_the_plans(bound: float) -> None:
    check_size(ErrorRateGate(max_increase_points=bound), {"digits": 200, "service": 600})


def test_an_eval_set_too_small_for_its_bound_is_refused_with_what_it_takes() -> None:
    with pytest.raises(Refused) as refused:
        check_size(ErrorRateGate(max_increase_points=0.3), {"digits": 40})
    assert str(refused.value) == (
        "eval set digits has 40 utterances, too few for a bound of 0.3 points: it takes about "
        "768; nothing was started. Add recordings, raise max_increase_points to 2.2, or leave "
        "digits out of gate error-rate"
    )


def test_the_bound_that_a_refusal_names_is_accepted() -> None:
    check_size(ErrorRateGate(max_increase_points=2.2), {"digits": 40})


def test_no_bound_makes_a_handful_of_utterances_enough() -> None:
    with pytest.raises(Refused, match="it takes about 30"):
        check_size(ErrorRateGate(max_increase_points=50), {"digits": 10})


def test_a_gate_on_an_unknown_eval_set_is_refused() -> None:
    with pytest.raises(Refused, match="no eval set 'music'"):
        check_size(ErrorRateGate(eval_sets=("music",)), {"digits": 200})
