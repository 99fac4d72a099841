"""The state folder where it cannot be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.state_folder import StateFolder
from controller.core.errors import Refused


@pytest.mark.parametrize("place", ["a file", "a file/state", "/proc/state"])
def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(Refused, match=r"cannot be made or written .*--state-dir"):
        StateFolder(tmp_path / place).create()


def test_a_folder_that_was_made_for_nothing_is_taken_back(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    waiting = StateFolder(tmp_path / "state")
    opened = waiting._open_lock()
    waiting._open_lock = lambda: opened  # type: ignore[method-assign]
    folder.lock()
    folder.take_back()
    folder.unlock()
    assert not folder.path.exists()
    with pytest.raises(Refused, match="was just removed"):
        waiting.lock()


def test_a_folder_that_was_there_or_has_something_in_it_stays(tmp_path: Path) -> None:
    for name, content in (("empty", None), ("used", "state.db")):
        folder = StateFolder(tmp_path / name)
        if content is None:
            folder.path.mkdir()
        folder.create()
        folder.lock()
        if content is not None:
            (folder.path / content).touch()
        folder.take_back()
        folder.unlock()
        assert (folder.path / "lock").exists()
