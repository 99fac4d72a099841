"""The history when its disk is full, its file is torn, or its database has moved on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from asr_node.history.backup import back_up
from asr_node.history.database import FILE
from asr_node.history.entry import new_id, now
from asr_node.history.history import HistoryAway
from tests.asr_node.history_bench import cursors, entry, no_file_grows_past, opened, until


def test_ids_sort_by_the_time_they_were_made_and_never_repeat() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


async def test_rows_have_rising_cursors(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await asyncio.gather(*(history.record(entry()) for _ in range(300)))
        found = await cursors(history)
        assert found == sorted(set(found))
        assert len(found) == 300


async def test_a_reader_that_follows_the_cursor_misses_nothing_while_others_write(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as history:
        writing = asyncio.gather(*(history.record(entry()) for _ in range(2_000)))
        seen: list[str] = []
        after = 0
        while len(seen) < 2_000:
            for row in await history.page(after, 100):
                seen.append(row["id"])
                after = row["cursor"]
        await writing
        assert len(set(seen)) == 2_000


async def test_the_event_loop_turns_while_a_commit_hangs(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        hangs, go = threading.Event(), threading.Event()

        def hang(_: Connection) -> None:
            hangs.set()
            go.wait(30)

        hanging = asyncio.create_task(history.write(hang))
        await until(hangs.is_set)
        waiting = asyncio.create_task(history.record(entry()))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        go.set()
        await asyncio.gather(hanging, waiting)
        assert len(await cursors(history)) == 2


async def test_a_full_disk_degrades_the_history_which_mends_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        assert history.degraded is None
        with no_file_grows_past((tmp_path / "data" / f"{FILE}-wal").stat().st_size):
            await history.record(entry(raw_text="x" * 20_000))  # returns: the answer may leave
            await until(lambda: history.degraded)
            await history.record(entry())
            assert not history.writable
            assert len(await cursors(history)) == 1
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 3  # what waited is there
        assert history.lost == 0
    assert integrity(tmp_path / "data" / FILE) == "ok"


async def test_old_rows_are_removed_although_the_disk_takes_no_new_ones(tmp_path: Path) -> None:
    old = now() - timedelta(days=3)
    async with opened(tmp_path) as history:
        await asyncio.gather(
            *(history.record(entry(created_time=old, raw_text="x" * 500)) for _ in range(1_500))
        )
        with no_file_grows_past((tmp_path / "data" / f"{FILE}-wal").stat().st_size):
            await asyncio.gather(*(history.record(entry(raw_text="y" * 40_000)) for _ in range(50)))
            await until(lambda: history.degraded)
            async with asyncio.timeout(60):
                assert await history.forget(days=2) == 1_500
            assert (history.waiting, history.writable) == (50, False)
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 50
        assert history.lost == 0
    assert integrity(tmp_path / "data" / FILE) == "ok"


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b"not a database at all" * 500),
        lambda file: file.write_bytes(file.read_bytes()[:100] + os.urandom(30_000)),
        lambda file: os.truncate(file, file.stat().st_size // 2),
    ],
    ids=["garbage", "torn", "cut short"],
)
async def test_a_damaged_history_is_set_aside_and_a_new_one_begun(tmp_path: Path, harm) -> None:
    async with opened(tmp_path) as history:
        for _ in range(50):
            await history.record(entry(raw_text="x" * 2_000))
        last = (await cursors(history))[-1]
    file = tmp_path / "data" / FILE
    harm(file)
    harmed = file.read_bytes()
    async with opened(tmp_path) as history:
        await history.record(entry())
        aside = next((tmp_path / "data").glob(f"{FILE}.damaged-*Z"))
        assert aside.read_bytes() == harmed
        assert aside.name in (history.degraded or "")
        assert history.writable
        assert (await cursors(history))[0] > last  # who reads on from `last` misses nothing
        aside.rename(tmp_path / "looked at")
        assert history.degraded is None


async def test_a_history_torn_while_it_is_open_is_set_aside_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        for _ in range(50):
            await history.record(entry(raw_text="x" * 2_000))
        file = tmp_path / "data" / FILE
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = file.stat().st_size
        with file.open("r+b") as torn:
            torn.write(os.urandom(size))
        await history.record(entry())
        await until(lambda: history.writable and (history.degraded or "").count("set aside"))
        assert len(await cursors(history)) == 1


async def test_a_history_that_cannot_be_opened_degrades_and_mends_itself(tmp_path: Path) -> None:
    (tmp_path / "data" / FILE).mkdir(parents=True)  # a folder in its place
    async with opened(tmp_path) as history:
        await until(lambda: history.degraded)
        await history.record(entry())
        (tmp_path / "data" / FILE).rmdir()
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 1


async def test_a_table_that_somebody_has_taken_away_is_no_rows_fault(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        await history.write(lambda it: it.execute(text("ALTER TABLE history RENAME TO gone")))
        await history.record(entry())
        await until(lambda: "history" in (history.degraded or ""))
        with closing(sqlite3.connect(tmp_path / "data" / FILE)) as connection:
            connection.execute("ALTER TABLE gone RENAME TO history")
        await until(lambda: history.degraded is None)
        assert len(await cursors(history)) == 2


async def test_transcripts_are_for_the_nodes_own_user_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        back_up(tmp_path / "data" / FILE, tmp_path / "backups")
        files = [*(tmp_path / "data").iterdir(), *(tmp_path / "backups").iterdir()]
        assert len(files) == 4
        assert [path.name for path in files if path.stat().st_mode & 0o077] == []


async def test_a_row_that_cannot_be_stored_stops_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        twice = entry()
        await history.record(twice)
        await asyncio.gather(*(history.record(row) for row in (entry(), twice, entry())))
        assert len(await cursors(history)) == 3
        assert history.degraded is None


async def test_names_that_no_database_takes_are_mended(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry(filename="a\0b\ud800c", parameters={"x\0": "\udfff"}))
        (row,) = await history.page(0, 1)
        assert (row["filename"], row["parameters"]) == ("a�b?c", {"x�": "?"})


async def test_a_newer_history_is_left_alone_and_recognition_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())
        await history.write(lambda it: it.execute(text("UPDATE schema_version SET version = 99")))
    async with opened(tmp_path) as history:
        await history.record(entry())
        await until(lambda: "newer asr-node" in (history.degraded or ""))
        with pytest.raises(HistoryAway):
            await history.page(0, 1)
    with closing(sqlite3.connect(tmp_path / "data" / FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM history").fetchone() == (1,)


async def test_a_history_of_an_earlier_version_gets_the_column_that_it_lacks(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as history:
        await history.record(entry())

        def as_it_was(connection: Connection) -> None:
            connection.execute(text("ALTER TABLE history DROP COLUMN first_partial_seconds"))
            connection.execute(text("UPDATE schema_version SET version = 1"))

        await history.write(as_it_was)
    async with opened(tmp_path) as history:
        await history.record(entry(first_partial_seconds=0.5))
        found = [row["first_partial_seconds"] for row in await history.page(0, 9)]
    assert found == [None, 0.5]


async def test_old_rows_are_forgotten_and_cursors_not_given_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as history:
        for _ in range(3):
            await history.record(entry(created_time=now() - timedelta(days=3)))
        for _ in range(2):
            await history.record(entry(created_time=now()))
        before = await cursors(history)
        assert await history.forget(days=2) == 3
        assert await cursors(history) == before[3:]
        assert await history.forget(days=0) == 2
        await history.record(entry())
        assert (await cursors(history))[-1] > before[-1]


def integrity(file: Path) -> str:
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
