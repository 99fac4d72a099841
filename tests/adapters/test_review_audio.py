"""Node and controller meet in the node's data folder: what one keeps, the other finds."""

from __future__ import annotations

import io
from pathlib import Path

from asr_node.history.audio_folder import FOLDER, AudioFolder
from asr_node.history.entry import new_id, now
from controller.adapters.review_audio import ReviewAudio


def test_what_a_node_keeps_is_found_by_the_id_of_its_row_and_moved(tmp_path: Path) -> None:
    audio = tmp_path / "nodes" / "v2-1" / FOLDER
    audio.parent.mkdir(parents=True)
    node, entry = AudioFolder(audio, quota_bytes=10**6), new_id()
    for number, entry_id in enumerate((new_id(), entry, new_id())):
        node.keep(io.BytesIO(b"voice %d" % number), "clip.WAV", entry_id, now())
    recordings = ReviewAudio(tmp_path)
    found = recordings.find("v2-1", entry)
    assert found is not None
    kept = recordings.keep(entry, found)
    assert kept == tmp_path / "review" / f"{entry}.wav"
    assert kept.read_bytes() == b"voice 1"
    assert recordings.find("v2-1", entry) == kept
    assert recordings.keep(entry, kept) == kept
    assert kept.exists()
    assert len(recordings.older_than(0)) == 3
    assert recordings.older_than(1) == []
    assert recordings.remove(recordings.older_than(0)) == 3
    assert recordings.older_than(0) == []


def test_a_node_that_is_gone_or_kept_nothing_has_no_recording(tmp_path: Path) -> None:
    assert ReviewAudio(tmp_path).find("v2-1", new_id()) is None
    assert ReviewAudio(tmp_path).older_than(0) == []


def test_a_recording_that_its_node_deletes_meanwhile_does_not_end_the_search(
    tmp_path: Path,
) -> None:
    recordings = ReviewAudio(tmp_path)
    recordings.folder.mkdir()
    (recordings.folder / "gone.wav").symlink_to(tmp_path / "nothing")
    (recordings.folder / "there.wav").write_bytes(b"voice")
    assert recordings.older_than(0) == [recordings.folder / "there.wav"]


def test_a_recording_is_removed_by_another_name_of_its_folder_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "state")
    recordings = ReviewAudio(tmp_path / "state")
    recordings.folder.mkdir(parents=True)
    (recordings.folder / "1.wav").write_bytes(b"voice")
    assert recordings.remove([tmp_path / "link" / "review" / "1.wav"]) == 1
    assert not (recordings.folder / "1.wav").exists()
