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
