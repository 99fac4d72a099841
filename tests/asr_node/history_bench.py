"""Rows and open histories, written once."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from asr_node.history.entry import Entry, Status, new_id
from asr_node.history.history import History
from asr_node.settings import Settings


def entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "id": new_id(),
        "request_id": "r1",
        "node": "n1",
        "created_time": datetime(2026, 11, 21, 12, tzinfo=UTC),
        "filename": "clip.wav",
        "version": "v1",
        "digest": "d" * 64,
        "device": "cpu",
        "priority": "live",
        "parameters": {"language": "zh"},
        "hotwords": ("张三",),
        "language": "zh",
        "duration_seconds": 1.5,
        "processing_seconds": 0.2,
        "raw_text": "<|zh|>一",
        "itn_text": "1",
        "status": Status.DONE,
    }
    return Entry(**values | changes)  # type: ignore[arg-type]


def settings_in(folder: Path, **changes: object) -> Settings:
    values: dict[str, object] = {"model": str(folder), "version": "v1", "name": "n1"}
    return Settings(**values | {"data_dir": folder / "data"} | changes)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(folder: Path, **changes: object) -> AsyncIterator[History]:
    history = History(settings_in(folder, **changes))
    history.open()
    try:
        yield history
    finally:
        await asyncio.to_thread(history.close)


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.01)


async def cursors(history: History) -> list[int]:
    return [row["cursor"] for row in await history.page(0, 1_000)]


@contextmanager
def no_file_grows_past(size: int) -> Iterator[None]:
    """What a full disk does to SQLite, without one: writes beyond `size` fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
