"""Backups of a history that is in use."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asr_node.history.audio_folder import AudioFolder
from asr_node.history.backup import BackupFailed, back_up, backups, prune
from asr_node.history.database import FILE
from asr_node.history.entry import new_id
from asr_node.history.upkeep import Upkeep
from tests.asr_node.history_bench import (
    cursors,
    entry,
    no_file_grows_past,
    opened,
    settings_in,
    until,
)


def rows_in(backup: Path) -> int:
    with closing(sqlite3.connect(backup)) as connection:
        return int(connection.execute("SELECT count(*) FROM history").fetchone()[0])


async def test_a_backup_is_one_whole_file_though_rows_come_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        for _ in range(20):
            await history.record(entry(raw_text="x" * 5_000))
        writing = asyncio.gather(*(history.record(entry()) for _ in range(500)))
        made = await asyncio.to_thread(back_up, tmp_path / "data" / FILE, tmp_path / "backups")
        await writing
        assert len(await cursors(history)) == 520
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [made.name]
    assert 20 <= rows_in(made) <= 520


async def test_a_damaged_source_makes_no_backup(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        for _ in range(50):
            await history.record(entry(raw_text="x" * 2_000))
    source = tmp_path / "data" / FILE
    with source.open("r+b") as torn:
        torn.seek(20_000)
        torn.write(os.urandom(20_000))
    with pytest.raises(BackupFailed):
        back_up(source, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


async def test_rows_after_a_backup_was_put_back_have_higher_cursors_than_all_before(
    tmp_path: Path,
) -> None:
    """Who had read on past the backup would otherwise miss them."""
    async with opened(tmp_path) as history:
        await history.record(entry())
        backup = back_up(tmp_path / "data" / FILE, tmp_path / "backups")
        for _ in range(10):
            await history.record(entry())
        last = (await cursors(history))[-1]
    backup.rename(tmp_path / "data" / FILE)
    async with opened(tmp_path) as history:
        assert len(await cursors(history)) == 1
        await history.record(entry())
        assert (await cursors(history))[-1] > last


def test_the_newest_backups_are_kept_and_files_of_others_too(tmp_path: Path) -> None:
    for day in range(1, 10):
        (tmp_path / f"history-2026110{day}T000000Z.sqlite3").touch()
    (tmp_path / "history-mine.sqlite3").touch()
    prune(tmp_path, keep=2)
    assert [path.name for path in backups(tmp_path)] == [
        "history-mine.sqlite3",
        "history-20261109T000000Z.sqlite3",
        "history-20261108T000000Z.sqlite3",
    ]


async def test_what_a_killed_backup_left_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        (tmp_path / "backups").mkdir()
        (tmp_path / "backups" / "history-20200101T000000Z.sqlite3.part").touch()
        back_up(tmp_path / "data" / FILE, tmp_path / "backups")
    assert len(list((tmp_path / "backups").iterdir())) == 1


@pytest.mark.parametrize(("hours", "made"), [(24.0, 1), (0.0, 0)])
async def test_a_backup_is_made_when_the_oldest_row_is_a_day_old(
    tmp_path: Path, hours: float, made: int
) -> None:
    settings = settings_in(tmp_path, backup_every_hours=hours)
    async with opened(tmp_path) as history:
        await history.record(entry(created_time=entry().created_time.replace(year=2020)))
        swept = asyncio.Event()
        upkeep = Upkeep(settings, history, None, [lambda: _set(swept)])
        upkeep.start()
        await until(swept.is_set)  # comes after the backup
        assert len(backups(tmp_path / "data" / "backups")) == made
        await upkeep.stop()


async def test_no_backup_is_due_while_the_last_is_young(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with opened(tmp_path) as history:
        await history.record(entry(created_time=entry().created_time.replace(year=2020)))
        for expected in (1, 1):
            swept = asyncio.Event()
            upkeep = Upkeep(settings, history, None, [lambda swept=swept: _set(swept)])
            upkeep.start()
            await until(swept.is_set)
            await upkeep.stop()
            assert len(backups(tmp_path / "data" / "backups")) == expected


async def test_a_folder_that_cannot_be_tidied_ends_no_upkeep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("asr_node.history.upkeep.prune", refused)
    async with opened(tmp_path) as history:
        await history.record(entry(created_time=entry().created_time.replace(year=2020)))
        swept = asyncio.Event()
        upkeep = Upkeep(settings_in(tmp_path), history, None, [lambda: _set(swept)])
        upkeep.start()
        await until(swept.is_set)  # comes after the backup
        await upkeep.stop()


async def test_old_recordings_go_though_a_full_disk_keeps_rows_from_going(tmp_path: Path) -> None:
    """They are what fills it."""
    settings = settings_in(tmp_path, history_days=1, keep_audio=True)
    audio = AudioFolder(settings.data_dir / "audio", 2**30)
    async with opened(tmp_path) as history:
        await history.record(entry())
        with no_file_grows_past((settings.data_dir / f"{FILE}-wal").stat().st_size):
            await history.record(entry(raw_text="x" * 20_000))
            await until(lambda: history.degraded)
            upkeep = Upkeep(settings, history, audio, round_seconds=0.0001)
            upkeep.start()
            for _ in range(2):  # hours
                audio.keep(
                    io.BytesIO(b"RIFF"), "clip.wav", new_id(), datetime(2020, 1, 1, tzinfo=UTC)
                )
                await until(lambda: not any((settings.data_dir / "audio").iterdir()))
            assert history.degraded
        await upkeep.stop()


async def _set(event: asyncio.Event) -> None:
    event.set()
