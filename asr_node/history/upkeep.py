"""What is due now and then: backups, and the end of what is too old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from asr_node.history.audio_folder import AudioFolder
from asr_node.history.backup import FOLDER, BackupFailed, back_up, backups, prune, taken_at
from asr_node.history.database import why
from asr_node.history.entry import now
from asr_node.history.history import History, HistoryAway
from asr_node.log import event
from asr_node.settings import Settings

Step = Callable[[], Awaitable[object]]

ROUND_SECONDS: Final = 60.0
HOUR_ROUNDS: Final = 60


class Upkeep:
    """A task of the event loop; the work itself is done in threads, one thing at a time."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        audio: AudioFolder | None,
        others: Sequence[Step] = (),
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        """`others` are called once an hour, too: each `HOUR_ROUNDS`."""
        self._settings = settings
        self._history = history
        self._audio = audio
        self._others = others
        self._round_seconds = round_seconds
        self._folder = settings.data_dir / FOLDER
        self._backing_up = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._writing: dict[Step, asyncio.Task[None]] = {}

    def start(self) -> None:
        if self._settings.history_url is not None:
            event("backup.off", reason="PostgreSQL has its own means; use pg_dump")
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        tasks = [*self._writing.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        rounds = 0
        while True:
            await self._tried(self._back_up_if_due)
            if rounds % HOUR_ROUNDS == 0:
                await self._tried(self._forget_audio)
                for step in (self._forget_rows, *self._others):
                    self._begin(step)
            rounds += 1
            await asyncio.sleep(self._round_seconds)

    def _begin(self, step: Step) -> None:
        """What writes to the history waits while the disk is full; what makes room on it must
        not wait behind that."""
        running = self._writing.get(step)
        if running is None or running.done():
            self._writing[step] = asyncio.create_task(self._tried(step))

    async def _back_up_if_due(self) -> None:
        if await self._backup_due():
            await self.back_up()

    async def back_up(self) -> bool:
        """Whether there is a new one. Two at once are done one after the other."""
        database = self._history.database
        if database.file is None:
            return False
        async with self._backing_up:
            try:
                made = await asyncio.to_thread(back_up, database.file, self._folder)
            except BackupFailed as error:
                event("backup.failed", level=logging.ERROR, reason=str(error))
                return False
            await asyncio.to_thread(prune, self._folder, self._settings.backup_keep)
        event("backup.done", file=made.name, bytes=made.stat().st_size)
        return True

    async def _backup_due(self) -> bool:
        """By the age of the newest backup, and of the oldest row where there is none: a
        restart does not begin the wait anew."""
        every = timedelta(hours=self._settings.backup_every_hours)
        if not every or self._settings.history_url is not None or not self._history.writable:
            return False
        last = next(filter(None, map(taken_at, backups(self._folder))), None)
        try:
            last = last or await self._history.first_time()
        except HistoryAway:
            return False
        return last is not None and now() - last >= every

    async def _tried(self, step: Step) -> None:
        """What fails now is due again; it must not be the end of all upkeep."""
        try:
            await step()
        except Exception as error:
            event("upkeep.failed", level=logging.ERROR, reason=why(error))

    async def _forget_rows(self) -> None:
        days = self._settings.history_days
        if days and (removed := await self._history.forget(days)):
            event("history.forgotten", rows=removed, days=days)

    async def _forget_audio(self) -> None:
        if self._audio is not None and self._settings.history_days:
            await asyncio.to_thread(self._audio.forget, self._settings.history_days)
