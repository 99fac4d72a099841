import dataclasses

import pytest

from controller.core.errors import InvalidName
from controller.core.eval_set import EvalSet, Utterance


def test_an_eval_set_cannot_be_changed_after_it_was_read() -> None:
    eval_set = EvalSet("digits", (Utterance("a", "a.wav", "一"),), "digest")
    with pytest.raises(dataclasses.FrozenInstanceError):
        eval_set.digest = "other"  # type: ignore[misc]


def test_a_name_that_could_leave_the_folder_is_refused() -> None:
    with pytest.raises(InvalidName):
        EvalSet("../digits", (), "digest")


def test_recordings_of_one_speaker_are_alike_then_those_of_one_recording() -> None:
    plain = Utterance("a", "a.wav", "一")
    assert plain.block == "a"
    assert dataclasses.replace(plain, recording="r").block == "r"
    assert dataclasses.replace(plain, recording="r", speaker="s").block == "s"


def test_the_language_is_a_slice_beside_the_tags() -> None:
    assert Utterance("a", "a.wav", "一", ("noise",), language="zh").slices == (
        "noise",
        "language:zh",
    )
