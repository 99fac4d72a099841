"""Results of batches whose nodes are gone."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path

import pytest

from controller.adapters.batch_folder import BatchFolder
from controller.core.errors import InvalidName

NOW = datetime.datetime(2026, 11, 22, 3, tzinfo=datetime.UTC)
ID = "batch_v1-1_" + "0" * 32


@pytest.fixture
def folder(tmp_path: Path) -> BatchFolder:
    return BatchFolder(tmp_path / "batches", lambda: NOW)


def test_what_is_kept_is_found_by_whoever_opens_the_folder_later(
    folder: BatchFolder, tmp_path: Path
) -> None:
    assert (folder.has(ID), folder.find(ID)) == (False, None)
    folder.keep({"id": ID, "files": [{"text": "喂"}]})
    later = BatchFolder(tmp_path / "batches", lambda: NOW)
    assert later.has(ID)
    assert later.find(ID) == {"id": ID, "files": [{"text": "喂"}]}


def test_transcripts_are_nobody_elses(folder: BatchFolder, tmp_path: Path) -> None:
    folder.keep({"id": ID})
    modes = [tmp_path / "batches", tmp_path / "batches" / f"{ID}.json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o700, 0o600]


def test_a_result_is_kept_for_a_week(folder: BatchFolder, tmp_path: Path) -> None:
    folder.expire()  # there is no folder yet
    folder.keep({"id": ID})
    file = tmp_path / "batches" / f"{ID}.json"
    for days, kept in ((6.9, True), (7.1, False)):
        then = (NOW - datetime.timedelta(days=days)).timestamp()
        os.utime(file, (then, then))
        folder.expire()
        assert folder.has(ID) is kept


@pytest.mark.parametrize("name", ["", "../../state", "batch_v1-1_0", f"batch_../x_{'0' * 32}"])
def test_no_file_is_made_or_read_by_a_name_that_is_no_id(folder: BatchFolder, name: str) -> None:
    with pytest.raises(InvalidName):
        folder.keep({"id": name})
    with pytest.raises(InvalidName):
        folder.find(name)
