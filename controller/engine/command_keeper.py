"""Carries out what people asked for, in the order in which it was accepted."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace

from controller.core.errors import Refused
from controller.core.fleet import FleetConfig
from controller.core.rollout import Rollout
from controller.core.verdict import Verdict
from controller.core.version import Version
from controller.engine.audit import command_event
from controller.engine.commands import State, carry_out, check_start, settle
from controller.engine.gate_keeper import GateKeeper
from controller.engine.inbox import Inbox
from controller.engine.ledger import Ledger, is_same
from controller.engine.records import Intent, Outcome
from controller.engine.review_keeper import ReviewKeeper


class CommandKeeper:
    """`verdicts` of the newest rollout, live ones as they are now: a person's word is weighed,
    and written down, with them."""

    def __init__(
        self,
        config: FleetConfig,
        versions: dict[str, Version],
        inbox: Inbox,
        ledger: Ledger,
        gates: GateKeeper,
        people: ReviewKeeper,
        verdicts: Callable[[Rollout], tuple[Verdict, ...]],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._config = config
        self._versions = versions
        self._inbox = inbox
        self._ledger = ledger
        self._gates = gates
        self._people = people
        self._verdicts = verdicts
        self._now = now

    def check_start(self, version: str, force: bool) -> None:
        """Raise Refused now where `start` would be refused anyway, whatever its plan."""
        check_start(self._state(), version, force)

    async def carry_out(self, outcomes: dict[int, Outcome]) -> None:
        """All that waits. The outcomes of those that were carried out are in `outcomes`, also
        where the next one fails."""
        while intent := self._inbox.first():
            outcomes[intent.id] = await self._carry_out(intent)
            self._inbox.remove(intent)

    async def _carry_out(self, intent: Intent) -> Outcome:
        state = replace(self._state(), earlier=await self._ledger.earlier())
        now = self._now()
        try:
            after, message = carry_out(intent, state, now)
        except Refused as refusal:
            return await self._refused(intent, refusal, now)
        was = self._ledger.rollout
        before = was if is_same(was, after.rollout) else None
        outcome = Outcome(message)
        await self._ledger.change(
            settle(before, after.rollout, after.fleet, now),
            after.rollout,
            intent.actor,
            command=command_event(intent, message, after.rollout, now, refused=False),
            handled=(intent, outcome),
            earlier=(state.earlier, after.earlier if after.earlier != state.earlier else None),
        )
        if intent.command == "retry" and after.rollout is not None:
            self._gates.forget(after.rollout.id)
            self._people.forget_problem(after.rollout.id)
        return outcome

    async def _refused(self, intent: Intent, refusal: Refused, now: datetime.datetime) -> Outcome:
        outcome = Outcome(str(refusal), refusal)
        event = command_event(intent, str(refusal), self._ledger.rollout, now, refused=True)
        await self._ledger.write([event], handled=(intent, outcome))
        return outcome

    def _state(self) -> State:
        rollout = self._ledger.rollout
        if rollout is not None:
            rollout = replace(rollout, verdicts=self._verdicts(rollout))
        return State(self._config, self._ledger.fleet, rollout, frozenset(self._versions))
