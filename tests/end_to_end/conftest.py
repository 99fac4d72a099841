from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.running_fleet import RunningFleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """One fleet for the tests of a file, which leave it settled; its path has a space."""
    made = RunningFleet(tmp_path_factory.mktemp("fleet") / "my state")
    made.up()
    try:
        made.until_settled()
        yield made
    finally:
        made.down()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my state"
