from __future__ import annotations

from dataclasses import replace

from controller.api.corrections import corrections
from controller.core.review.pairs import Difference
from controller.core.review.votes import Preference, Vote
from controller.engine.copies_review import COPIES
from controller.engine.records import ReviewQueue
from tests.core.review_pairs import pairs
from tests.core.rollouts import NOON

QUEUE = ReviewQueue("r1", "seed", NOON, pairs(10))


def vote(pair: int, rater: str, text: str | None) -> Vote:
    return Vote(QUEUE.pairs[pair].id, rater, Preference.NEITHER, text)


def test_a_corrected_text_becomes_what_was_said() -> None:
    (recording,), disputed = corrections(QUEUE, [vote(0, "ann", "好的"), vote(1, "ann", None)])
    assert recording.key == f"reviewed-{QUEUE.pairs[0].id}"
    assert (recording.target, recording.tags) == ("好的", ("digits",))
    assert disputed == []


def test_a_copy_does_not_bring_its_user_s_key_into_an_eval_set() -> None:
    def spoken_by(difference: Difference | None, eval_set: str) -> Difference:
        assert difference is not None
        return replace(
            difference, eval_set=eval_set, utterance=replace(difference.utterance, speaker="s1")
        )

    sets = (COPIES, "service")
    pairs = tuple(
        replace(pair, difference=spoken_by(pair.difference, eval_set))
        for pair, eval_set in zip(QUEUE.pairs, sets, strict=False)
    )
    found, _ = corrections(replace(QUEUE, pairs=pairs), [vote(n, "ann", "好的") for n in (0, 1)])
    assert [recording.speaker for recording in found] == ["", "s1"]


def test_two_people_who_write_the_same_agree_and_two_who_do_not_are_named() -> None:
    votes = [vote(n, rater, text) for n, rater, text in (
        (0, "ann", "好的"), (0, "bob", "好的"), (1, "ann", "是的"), (1, "bob", "不是"),
    )]  # fmt: skip
    found, disputed = corrections(QUEUE, votes)
    assert [recording.target for recording in found] == ["好的"]
    assert disputed == [QUEUE.pairs[1].id]
