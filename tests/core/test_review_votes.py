from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.core.advance import advance
from controller.core.errors import InvalidConfig
from controller.core.review.betting import interval, stakes
from controller.core.review.gate import PreferenceGate
from controller.core.review.judge import judge
from controller.core.review.pairs import GROUP
from controller.core.review.votes import (
    Choice,
    Preference,
    Vote,
    nominal_alpha,
    opinion,
    preference,
)
from controller.core.rollout import Phase
from controller.core.verdict import Outcome
from tests.core.review_pairs import pairs, votes
from tests.core.rollouts import PLAN, a_rollout, facts

CANARY, STABLE, SAME, NEITHER = (
    Preference.CANARY,
    Preference.STABLE,
    Preference.SAME,
    Preference.NEITHER,
)
GATE = PreferenceGate(min_votes=28, min_raters=2)


def test_who_chooses_a_side_prefers_the_version_that_stood_there() -> None:
    assert preference(Choice.LEFT, canary_is_left=True) is CANARY
    assert preference(Choice.LEFT, canary_is_left=False) is STABLE
    assert preference(Choice.RIGHT, canary_is_left=True) is STABLE
    assert preference(Choice.NEITHER, canary_is_left=True) is NEITHER


def test_the_interval_holds_at_every_look_as_often_as_it_says() -> None:
    random, missed = np.random.default_rng(7), 0
    for _ in range(200):
        scores = np.where(random.random(150) < 0.4, 0.5, random.random(150) < 0.7)
        low, high = interval(scores)
        missed += not low <= 0.62 <= high
    assert missed <= 10  # 5 % at all looks together: the last has all that any has refuted


def test_what_one_look_has_refuted_stays_refuted() -> None:
    scores = (np.random.default_rng(9).random(90) < 0.7).astype(float)
    lows, highs = zip(*(interval(scores[:n]) for n in range(91)), strict=True)
    assert list(lows) == sorted(lows)
    assert list(highs) == sorted(highs, reverse=True)


def test_no_stake_depends_on_the_score_that_it_is_laid_on() -> None:
    random = np.random.default_rng(5).random(50)
    for last in (0.0, 0.5, 1.0):
        changed = np.append(random[:-1], last)
        assert np.array_equal(stakes(random, 0.05), stakes(changed, 0.05))


def test_more_votes_and_more_of_a_kind_make_the_interval_narrower() -> None:
    def width(scores: list[float]) -> float:
        low, high = interval(scores)
        return high - low

    assert interval([]) == (0.0, 1.0)
    assert width([1.0, 0.0] * 100) < width([1.0, 0.0] * 25) < 0.5
    assert width([0.5, 0.5, 1.0, 0.0] * 25) < width([1.0, 0.0] * 50)


def test_the_share_is_of_the_random_sample_whatever_the_worst_pairs_say() -> None:
    found = pairs(400)
    only_worst = [Vote(p.id, "ann", STABLE) for p in found if p.worst and p.sample is None]
    said = opinion(found, [*votes(found, [CANARY, SAME, NEITHER, CANARY] * 7), *only_worst])
    assert (said.share, said.pairs, said.uncounted) == (0.75, 28, len(only_worst))


def test_a_group_counts_when_each_of_its_pairs_has_a_vote() -> None:
    found = pairs()
    said = opinion(found, votes(found, [CANARY] * (2 * GROUP - 1)))
    assert (said.pairs, said.votes, said.uncounted) == (GROUP, GROUP, GROUP - 1)


def test_groups_count_in_the_order_of_the_sample_whoever_jumped_ahead() -> None:
    found = pairs()
    ahead = votes(found, [CANARY] * 21)[GROUP:]
    assert opinion(found, ahead).pairs == 0


def test_a_pair_counts_once_however_many_people_voted_on_it() -> None:
    found = pairs()
    more = votes(found, [STABLE] * 3, "bob") + votes(found, [STABLE] * 3, "eve")
    said = opinion(found, [*votes(found, [CANARY] * GROUP), *more])
    assert said.share == pytest.approx((3 / 3 + 4) / GROUP)
    assert (said.pairs, said.votes, said.raters) == (GROUP, GROUP + 6, 3)


def test_pairs_of_one_speaker_are_one_score() -> None:
    found = pairs(speakers=2)
    said = opinion(found, votes(found, [CANARY] * 70))
    assert (said.pairs, said.blocks) == (70, 2)
    assert said.interval[0] < 0.5  # two people prove nothing


def test_agreement_is_krippendorffs_alpha_as_he_worked_it_out() -> None:
    """Krippendorff (2011), section C: nominal data, 4 observers, 12 units, alpha 0.743."""
    rows = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [[row[n] for row in rows if row[n] != "."] for n in range(12)]
    assert nominal_alpha(units) == pytest.approx(0.743, abs=0.0005)


def test_agreement_equals_that_of_the_package_of_that_name() -> None:
    krippendorff = pytest.importorskip("krippendorff")
    random = np.random.default_rng(3)
    for _ in range(20):
        said = random.integers(0, 4, (3, 40)).astype(float)
        said[1] = np.where(random.random(40) < 0.6, said[0], said[1])
        said[random.random((3, 40)) < 0.3] = np.nan
        expected = krippendorff.alpha(reliability_data=said, level_of_measurement="nominal")
        units = [[v for v in column if not np.isnan(v)] for column in said.T]
        assert nominal_alpha(units) == pytest.approx(expected)


def test_agreement_is_unknown_where_nothing_could_be_confused() -> None:
    assert nominal_alpha([]) is None
    assert nominal_alpha([["a"], ["b"]]) is None
    assert nominal_alpha([["a", "a"], ["a", "a"]]) is None
    assert nominal_alpha([["a", "a"], ["b", "b"]]) == 1


def two_people(choices: list[Preference], count: int = 140) -> list[Vote]:
    found = pairs(count)
    said = choices * (count // len(choices))
    return votes(found, said) + votes(found, said, "bob")


def test_a_version_that_people_like_passes() -> None:
    verdict = judge(GATE, opinion(pairs(140), two_people([CANARY, CANARY, SAME, STABLE])))
    assert verdict.verdict is Outcome.PASS
    assert verdict.canary == pytest.approx(0.625)
    assert (verdict.samples, verdict.keys, verdict.is_live) == (140, 2, True)
    assert "preferred in 62 % of the pairs" in verdict.reason


def test_a_version_that_people_dislike_fails() -> None:
    verdict = judge(GATE, opinion(pairs(140), two_people([STABLE, STABLE, STABLE, SAME])))
    assert verdict.verdict is Outcome.FAIL
    assert verdict.difference < 0


def test_too_few_votes_are_told_with_how_many_are_missing() -> None:
    found = pairs()
    assert "28 votes are missing" in judge(GATE, opinion(found, [])).reason
    few = judge(GATE, opinion(found, votes(found, [CANARY] * 21)))
    assert few.verdict is Outcome.INCONCLUSIVE
    assert "7 votes are missing (of 28)" in few.reason


def test_where_no_text_differs_there_is_nothing_to_prefer_and_the_gate_passes() -> None:
    verdict = judge(GATE, opinion((), ()))
    assert verdict.verdict is Outcome.PASS
    assert "wrote the same of every recording" in verdict.reason


def test_texts_that_were_forgotten_before_a_vote_let_nothing_pass() -> None:
    forgotten = [replace(pair, difference=None) for pair in pairs(40)]
    verdict = judge(GATE, opinion(forgotten, []))
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert "28 votes are missing" in verdict.reason


def test_where_few_texts_differ_all_can_be_voted_on_and_no_more_is_asked() -> None:
    few = pairs(12)
    said = votes(few, [CANARY] * 12) + votes(few, [CANARY] * 12, "bob")
    verdict = judge(GATE, opinion(few, said))
    assert verdict.verdict is Outcome.PASS
    assert "4 votes are missing (of 24)" in judge(GATE, opinion(few, said[:20])).reason


def test_one_person_alone_decides_nothing() -> None:
    found = pairs()
    verdict = judge(GATE, opinion(found, votes(found, [CANARY] * 98)))
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert "votes of 1 more people are missing" in verdict.reason


def test_what_votes_cannot_tell_is_told_with_what_it_would_take() -> None:
    found = pairs(300)
    some = opinion(found, votes(found, [CANARY, STABLE] * 21) + votes(found, [SAME], "bob"))
    verdict = judge(GATE, some)
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert "more pairs are missing" in verdict.reason
    small = opinion(pairs(42), votes(pairs(42), [CANARY, STABLE] * 21))
    assert "the sample has 42" in judge(PreferenceGate(min_votes=1, min_raters=1), small).reason


def test_people_who_do_not_agree_decide_nothing_where_the_plan_asks_for_agreement() -> None:
    found = pairs(140)
    split = votes(found, [CANARY] * 140) + votes(found, [CANARY, SAME] * 70, "bob")
    strict = PreferenceGate(min_votes=28, min_agreement=0.4)
    assert judge(GATE, opinion(found, split)).verdict is Outcome.PASS
    verdict = judge(strict, opinion(found, split))
    assert verdict.verdict is Outcome.INCONCLUSIVE
    assert "agree too little" in verdict.reason


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"margin_points": 0.0}, "margin_points"),
        ({"margin_points": 50.0}, "margin_points"),
        ({"min_votes": 0}, "min_votes"),
        ({"min_raters": 0}, "min_raters"),
        ({"min_agreement": 1.5}, "min_agreement"),
        ({"min_agreement": 0.5, "min_raters": 1}, "min_agreement"),
    ],
)
def test_a_gate_without_sense_is_refused_by_its_key(values: dict[str, float], key: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^{key}: "):
        PreferenceGate(**values)  # type: ignore[arg-type]


def test_a_step_does_not_end_well_before_anybody_was_asked() -> None:
    plan = replace(PLAN, gates=(), preference_gates=(GATE,))
    held = a_rollout(plan=plan, phase=Phase.HOLDING, reached_percent=5.0)
    after = advance(held, facts(3600))
    assert after.phase is Phase.WAITING
    assert "gate preference is inconclusive: nobody was asked yet" in after.reason
