from __future__ import annotations

import pytest

from controller import review_views
from controller.api.review_results import results_summary
from controller.core.review.votes import Preference, Vote, opinion
from controller.engine.records import ReviewQueue
from tests.core.review_pairs import pairs, votes
from tests.core.rollouts import NOON

PAIRS = pairs(60)
WORST = next(pair for pair in PAIRS if pair.worst)
GIVEN = [
    *votes(PAIRS, [Preference.CANARY, Preference.SAME] * 14),
    Vote(WORST.id, "bob", Preference.STABLE, "好的"),
]


def summary() -> dict[str, object]:
    return results_summary(ReviewQueue("r1", "seed", NOON, PAIRS), GIVEN, opinion(PAIRS, GIVEN))


def test_the_results_say_what_people_prefer_and_how_sure_that_is() -> None:
    lines = review_views.results(summary()).splitlines()
    assert lines[0].startswith("review of r1: the new version is preferred in 7")
    assert "% of the random sample (95 % interval " in lines[0]
    assert "on 28 of 60 pairs: new 14, old" in lines[1]
    assert "those that disagree most:" in lines
    assert "    corrected: 好的" in lines


def test_the_list_has_the_pairs_and_no_text() -> None:
    text = review_views.pairs(summary())
    assert text.splitlines()[0] == "review of r1: 60 pairs"
    assert f"{WORST.id}  " in text
    assert "worst and random" in text
    assert "好" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_link_that_works_on_one_machine_alone_says_so(host: str) -> None:
    hint = review_views.reach(f"http://{host}:8090/review/enter?key=a.b")
    assert hint is not None
    assert "rollout up --host" in hint
    assert review_views.reach("http://asr.example:8090/review/enter?key=a.b") is None
