"""Commands on their way to the loop: written down before they are accepted, answered when they
have taken effect."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.core.errors import StoreUnavailable
from controller.engine.ports.store import Store
from controller.engine.records import Command, Intent, Outcome


class Inbox:
    """A rollback is the one command that waits here also unwritten, with an id below zero: users
    must not suffer for want of room (core.desired.all_on), and who gave it is told."""

    def __init__(self, store: Store, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._now = now
        self._intents: list[Intent] = []
        self._doubted = True
        self._unwritten = 0  # rollbacks that could not be written down at once, ever
        self._waiting: dict[int, list[asyncio.Future[Outcome]]] = {}
        self._submitting = asyncio.Lock()

    async def add(
        self, command: Command, arguments: dict[str, object], actor: str
    ) -> asyncio.Future[Outcome]:
        """From here on it survives a crash, unless it `is_unwritten`. Done when the loop has
        carried it out. Raises StoreUnavailable where it is not taken."""
        async with self._submitting:  # commands are carried out in the order of their ids
            intent = self._same_rollback(command, arguments)
            if intent is None:
                intent = await self._taken(command, arguments, actor)
                self._intents.append(intent)
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(intent.id, []).append(answer)
        return answer

    async def _taken(self, command: Command, arguments: dict[str, object], actor: str) -> Intent:
        try:
            await self._write_down()  # what came first is to be carried out first
            return await asyncio.to_thread(self._store.add_intent, command, arguments, actor)
        except StoreUnavailable:
            if command != "rollback":
                raise
        self._unwritten += 1
        return Intent(-self._unwritten, command, arguments, actor, self._now())

    def doubt(self) -> None:
        """Whatever happened to us: what was accepted and not carried out is in the store."""
        self._doubted = True

    async def catch_up(self) -> None:
        """With the store, and the store with what could not be written. Raises StoreUnavailable."""
        async with self._submitting:
            if self._doubted:
                written = await asyncio.to_thread(self._store.pending_intents)
                self._intents = written + [it for it in self._intents if is_unwritten(it)]
                self._doubted = False
            await self._write_down()

    async def _write_down(self) -> None:
        for place, intent in enumerate(self._intents):
            if is_unwritten(intent):
                of = intent.command, dict(intent.arguments), intent.actor
                written = await asyncio.to_thread(self._store.add_intent, *of)
                self._intents[place] = replace(written, at=intent.at)
                self._waiting[written.id] = self._waiting.pop(intent.id, [])

    def _same_rollback(self, command: Command, arguments: dict[str, object]) -> Intent | None:
        """One that waits already: two, given in fear, would go back two versions."""
        ordered = (it for it in reversed(self._intents) if it.command in {"rollback", "start"})
        last = next(ordered, None)  # a rollback after another start is another one
        if command != "rollback" or last is None or last.command != command:
            return None
        return last if last.arguments == arguments else None

    def refuse(self, intent: Intent, problem: str) -> None:
        """Nobody waits for a store that cannot write."""
        for waiting in self._waiting.pop(intent.id, []):
            if not waiting.done():
                waiting.set_exception(StoreUnavailable(problem))

    def pending(self) -> tuple[Intent, ...]:
        """In order."""
        return tuple(self._intents)

    def first(self) -> Intent | None:
        return self._intents[0] if self._intents else None

    def remove(self, intent: Intent) -> None:
        self._intents.remove(intent)

    def answer(self, outcomes: Mapping[int, Outcome]) -> None:
        """Whoever still waits for one of these."""
        for intent_id, outcome in outcomes.items():
            for waiting in self._waiting.pop(intent_id, []):
                if not waiting.done():
                    waiting.set_result(outcome)


def is_unwritten(intent: Intent) -> bool:
    """Whether it would be lost with this process."""
    return intent.id < 0
