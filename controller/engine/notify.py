"""Tells people what the audit says, apart from the loop: a target that hangs, refuses or is gone
never delays a tick.

Each target has a cursor of its own in the store, moved behind what was delivered. So nothing is
lost over a crash, and what was on its way at that moment is sent at most once more."""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from controller.core.errors import NotificationFailed
from controller.core.notification import Target
from controller.engine.jobs import Jobs
from controller.engine.notices import Notice, joined, notice
from controller.engine.records import Event

log = logging.getLogger(__name__)
PAUSES_SECONDS: Final = (1.0, 5.0, 25.0, 120.0, 300.0)  # between attempts: 7.5 minutes in all
_MOST_EVENTS: Final = 50  # in one message: what gathers while a target is down comes together
_OLD_NEWS: Final = datetime.timedelta(days=1)
_LONGEST_BODY: Final = 3500  # characters; DingTalk, Feishu and WeCom take little more


class Messenger(Protocol):
    """Delivers messages. Raises NotificationFailed, which never names the URL."""

    async def send(self, target: Target, title: str, body: str, urgent: bool) -> None: ...


class Journal(Protocol):
    """The part of the store that the notifier reads and writes. Synchronous."""

    def events(self, after: int = 0, limit: int = 200) -> list[Event]: ...

    def last_event_id(self) -> int: ...

    def cursor(self, name: str) -> int | None: ...

    def move_cursor(self, name: str, position: int) -> None: ...

    def save(self, events: Sequence[Event]) -> list[Event]: ...


class Notifier:
    """`round` may be called at any time, any number of times; it returns at once."""

    def __init__(
        self,
        service: str,
        targets: Sequence[Target],
        journal: Journal,
        messenger: Messenger,
        now: Callable[[], datetime.datetime],
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self.targets = tuple(targets)
        self._service = service
        self._journal = journal
        self._messenger = messenger
        self._now = now
        self._pauses = tuple(pauses_seconds)
        self._jobs = Jobs(lambda: None)

    async def round(self) -> None:
        """Have what is new delivered, each target by a job of its own."""
        for target in self.targets:
            self._jobs.ensure(target.name, functools.partial(self._deliver, target))

    async def test(self, actor: str) -> list[dict[str, Any]]:
        """Send every target a test message now: `problem` is None where it was taken."""
        return list(await asyncio.gather(*(self._test(target, actor) for target in self.targets)))

    async def close(self) -> None:
        """Give up what is on its way; it is delivered after the next start."""
        await self._jobs.close()

    async def _deliver(self, target: Target) -> None:
        problem = ""
        for pause in (*self._pauses, None):
            position, notices = await self._waiting(target)
            if position is None:
                return
            try:
                await self._send(target, notices)
            except NotificationFailed as failure:
                problem = str(failure)
            else:
                await self._move(target, position)
                return
            if pause is None:
                await self._give_up(target, position, notices, problem)
            else:
                await asyncio.sleep(pause)

    async def _waiting(self, target: Target) -> tuple[int | None, list[Notice]]:
        """The last event behind the cursor, None where there is none, and what is news."""
        cursor = await asyncio.to_thread(self._journal.cursor, target.name)
        if cursor is None:  # a target sees what happens from its first start on
            await self._move(target, await asyncio.to_thread(self._journal.last_event_id))
            return None, []
        events = await asyncio.to_thread(self._journal.events, cursor, _MOST_EVENTS)
        if not events:
            return None, []
        earliest = self._now() - _OLD_NEWS
        notices = (notice(event, target.language) for event in events if event.at >= earliest)
        return events[-1].id, [n for n in notices if n is not None and n.topic in target.topics]

    async def _send(self, target: Target, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        title, body = joined(notices, self._service)
        if len(body) > _LONGEST_BODY:
            body = f"{body[:_LONGEST_BODY]} …"
        await self._messenger.send(target, title, body, any(n.urgent for n in notices))

    async def _give_up(
        self, target: Target, position: int, notices: Sequence[Notice], problem: str
    ) -> None:
        """Said in the audit, and never told by a message: that would go on for ever."""
        attempts = len(self._pauses) + 1
        message = (
            f"{len(notices)} notices to {target.name} were given up after {attempts} attempts: "
            f"{problem}. Traffic and rollouts are as they were; `rollout notify --test` tries again"
        )
        log.warning("notification.failed target=%s problem=%s", target.name, problem)
        event = Event("notification.failed", "notifications", message, "controller", self._now())
        await asyncio.to_thread(self._journal.save, [event])
        await self._move(target, position)

    async def _move(self, target: Target, position: int) -> None:
        await asyncio.to_thread(self._journal.move_cursor, target.name, position)

    async def _test(self, target: Target, actor: str) -> dict[str, Any]:
        title, body = _TEST_WORDS[target.language]
        problem = None
        try:
            title = f"[{self._service}] {title}"
            await self._messenger.send(target, title, body.format(actor=actor), False)
        except NotificationFailed as failure:
            problem = str(failure)
        topics = sorted(topic.value for topic in target.topics)
        return {"target": target.name, "events": topics, "problem": problem}


_TEST_WORDS: Final = {
    "en": ("Test message", "{actor} asked for it. Nothing happened, nothing to do."),
    "zh": ("测试消息", "由 {actor} 发出。什么都没发生，不用做什么。"),
}
