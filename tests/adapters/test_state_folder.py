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
