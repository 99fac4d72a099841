"""Commands on their way to the loop: written down before they are accepted, answered when they
have taken effect."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from controller.core.errors import StoreUnavailable
from controller.engine.ports.store import Store
from controller.engine.records import Command, Intent, Outcome


class Inbox:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._intents: list[Intent] = []
        self._waiting: dict[int, list[asyncio.Future[Outcome]]] = {}
        self._submitting = asyncio.Lock()

    async def add(
        self, command: Command, arguments: dict[str, object], actor: str
    ) -> asyncio.Future[Outcome]:
        """From here on it survives a crash. Done when the loop has carried it out."""
        async with self._submitting:  # commands are carried out in the order of their ids
            intent = self._same_rollback(command, arguments)
            if intent is None:
                intent = await asyncio.to_thread(self._store.add_intent, command, arguments, actor)
                self._intents.append(intent)
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(intent.id, []).append(answer)
        return answer

    def _same_rollback(self, command: Command, arguments: dict[str, object]) -> Intent | None:
        """One that waits already: two, given in fear, would go back two versions."""
        ordered = (it for it in reversed(self._intents) if it.command in {"rollback", "start"})
        last = next(ordered, None)  # a rollback after another start is another one
        if command != "rollback" or last is None or last.command != command:
            return None
        return last if last.arguments == arguments else None

    async def read_again(self) -> None:
        """What was accepted and not carried out is in the store, whatever happened to us."""
        async with self._submitting:
            self._intents = await asyncio.to_thread(self._store.pending_intents)

    def refuse(self, error: StoreUnavailable, besides: Collection[int]) -> None:
        """Nobody waits for a store that cannot write. `besides`: intents that are carried out."""
        later = f"the command is accepted, and carried out once the state is written: {error}"
        for intent_id in self._waiting.keys() - besides:
            for waiting in self._waiting.pop(intent_id):
                if not waiting.done():
                    waiting.set_exception(StoreUnavailable(later))

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
