from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.core.review.pairs import (
    GROUP,
    canary_is_left,
    differences,
    disagreement,
    next_pair,
    queue,
    shown,
)
from tests.core.review_pairs import an_eval_set, pairs


def test_only_recordings_with_different_words_become_pairs() -> None:
    stable = {"u000": "请拨打10086", "u001": "好的。", "u002": None, "u003": "<|zh|>是"}
    canary = {"u000": "请拨打1086", "u001": "好的", "u002": "好的", "u003": "是"}
    found = differences(an_eval_set(4), stable, canary)
    assert [d.utterance.key for d in found] == ["u000"]


def test_disagreement_is_between_0_and_1_and_has_no_direction() -> None:
    assert disagreement("", "") == 0
    assert disagreement("", "好的") == disagreement("好的", "") == 1
    assert disagreement("打开 wifi", "打开 wifi 了") == 0.25


def test_a_model_s_tags_are_not_shown() -> None:
    assert shown("<|zh|><|NEUTRAL|>好 的") == "好 的"


def test_the_worst_pairs_come_mixed_with_a_random_sample() -> None:
    found = pairs(400)
    worst = [pair for pair in found if pair.worst]
    assert {p.difference.utterance.key for p in worst} == {f"u{n:03}" for n in range(370, 400)}
    assert sum(pair.sample is not None for pair in found) == 300
    first = [pair for pair in found if pair.group == 0]
    assert sum(pair.worst for pair in first) >= 3
    assert sum(pair.sample in range(GROUP) for pair in first) == GROUP


def test_the_random_sample_is_a_matter_of_the_seed_alone() -> None:
    assert pairs(400) == pairs(400)
    sampled = [{p.difference.utterance.key for p in pairs(400, seed=s)} for s in ("a", "b")]
    assert sampled[0] != sampled[1]


def test_every_difference_has_the_same_chance_to_be_sampled() -> None:
    stable = {f"u{n:03}": "好" * 9 for n in range(20)}
    canary = {key: "好" * (8 - n // 4) for n, key in enumerate(stable)}
    found = differences(an_eval_set(20), stable, canary)
    drawn = dict.fromkeys(stable, 0)
    for seed in range(400):
        for pair in queue(found, str(seed), sample=5, worst=0):
            drawn[pair.difference.utterance.key] += 1
    assert min(drawn.values()) > 65  # of 100 that are expected
    assert max(drawn.values()) < 135


def test_nothing_in_an_id_names_the_recording_and_no_seed_gives_the_same_ids() -> None:
    assert not {p.id for p in pairs(seed="a")} & {p.id for p in pairs(seed="b")}
    assert all(p.difference.utterance.key not in p.id for p in pairs())


@given(rater=st.text(max_size=20))
def test_a_rater_sees_every_pair_once_group_by_group(rater: str) -> None:
    found, done = pairs(30), []
    while pair := next_pair(found, done, rater, "seed"):
        done.append(pair.id)
    assert sorted(done) == sorted(pair.id for pair in found)
    groups = {pair.id: pair.group for pair in found}
    assert [groups[pair] for pair in done] == sorted(groups.values())


def test_two_raters_have_orders_of_their_own_within_a_group() -> None:
    found = pairs(100)
    first = {next_pair(found, (), f"rater {n}", "seed") for n in range(30)}
    assert len(first) > 5
    assert {pair.group for pair in first if pair} == {0}


def test_either_version_stands_on_the_left_half_of_the_time() -> None:
    left = [canary_is_left(f"{n}", f"rater {n % 7}", "seed") for n in range(2000)]
    assert 900 < sum(left) < 1100
    sides = {canary_is_left("a pair", f"rater {n}", "seed") for n in range(20)}
    assert sides == {True, False}  # of one pair, too
