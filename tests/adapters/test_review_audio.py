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
    assert recordings.find("v2-1", entry) is None
    assert len(recordings.older_than(0)) == 3
    assert recordings.older_than(1) == []
    assert recordings.remove(recordings.older_than(0)) == 3
    assert recordings.older_than(0) == []


def test_a_node_that_is_gone_or_kept_nothing_has_no_recording(tmp_path: Path) -> None:
    assert ReviewAudio(tmp_path).find("v2-1", new_id()) is None
    assert ReviewAudio(tmp_path).older_than(0) == []
