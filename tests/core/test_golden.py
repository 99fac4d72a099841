import pytest

from controller.core.errors import InvalidConfig
from controller.core.eval_set import EvalSet, Utterance
from controller.core.golden import GoldenCheck, hears_wrong

SAID = "请拨打一零零八六"
CLIPS = EvalSet("digits", tuple(Utterance(key, f"{key}.ogg", SAID) for key in "abc"), "e" * 64)
CHECK = GoldenCheck("digits", clips=2, max_error_percent=25)


def test_only_the_first_clips_are_golden() -> None:
    assert [clip.key for clip in CHECK.clips_of(CLIPS).utterances] == ["a", "b"]


def test_a_node_may_miss_a_little() -> None:
    heard = {"a": SAID, "b": "请拨打一零八六"}
    assert hears_wrong(CHECK, CHECK.clips_of(CLIPS), heard) is None


def test_a_node_that_writes_nothing_hears_wrong_and_an_example_is_named() -> None:
    why = hears_wrong(CHECK, CHECK.clips_of(CLIPS), {"a": SAID, "b": ""})
    assert why is not None
    assert "50 % of the characters in 2 clips of digits" in why
    assert f"'' for {SAID!r}" in why


@pytest.mark.parametrize(
    "values", [{"clips": 0}, {"max_error_percent": 100}, {"interval_seconds": 0.5}]
)
def test_a_check_that_makes_no_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(values)).partition("_seconds")[0]):
        GoldenCheck("digits", **values)
