"""Carries out what people asked for, in the order in which it was accepted."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace

from controller.core.errors import Refused, StoreUnavailable
from controller.core.fleet import FleetConfig
from controller.core.rollout import Rollout
from controller.core.routing import Routing
from controller.core.unwritten import words
from controller.core.verdict import Verdict
from controller.core.version import Version
from controller.engine.audit import command_event
from controller.engine.commands import State, carry_out, check_start, settle
from controller.engine.gate_keeper import GateKeeper
from controller.engine.inbox import Inbox, is_unwritten
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
        self._in_vain: tuple[Intent, ...] = ()  # wait for a store that cannot write
        self._problem = ""

    def check_start(self, version: str, force: bool) -> None:
        """Raise Refused now where `start` would be refused anyway, whatever its plan."""
        check_start(self._state(), version, force)

    def foresee_rollback(self) -> None:
        """Before anything is carried out: no nginx may be started with what a rollback that was
        given without a controller has taken out of service."""
        self._ledger.unwritten_stable = self._rolled_back_to({})

    async def carry_out(self, outcomes: dict[int, Outcome]) -> None:
        """All that waits. The outcomes of those that were carried out are in `outcomes`, also
        where the next one fails.

        Raises StoreUnavailable; then rollbacks that wait move traffic all the same."""
        try:
            await self._inbox.catch_up()
            while intent := self._inbox.first():
                outcomes[intent.id] = await self._carry_out(intent)
                self._inbox.remove(intent)
        except StoreUnavailable as error:
            self._ledger.unwritten_stable = self._rolled_back_to(outcomes)
            self._in_vain, self._problem = self._inbox.pending(), str(error)
            raise
        self._ledger.unwritten_stable = None

    def _rolled_back_to(self, outcomes: dict[int, Outcome]) -> str | None:
        """The version that is stable once the rollbacks that wait are carried out; None where
        there are none. What would be refused is refused at once where it is not written down."""
        state, now, target = self._state(), self._now(), None
        for intent in filter(_is_rollback, self._inbox.pending()):
            try:
                state, _ = carry_out(intent, state, now)
                target = state.fleet.stable
            except Refused as refusal:
                if is_unwritten(intent):
                    outcomes[intent.id] = Outcome(str(refusal), refusal)
                    self._inbox.remove(intent)
        return target

    def answer(self, outcomes: dict[int, Outcome], routing: Routing | None) -> None:
        """Tell who waits what has taken effect, or cannot now; `routing` is what holds."""
        self._inbox.answer(outcomes)
        for intent in self._in_vain:
            self._inbox.refuse(intent, self._why(intent, routing))
        self._in_vain = ()

    def _why(self, intent: Intent, routing: Routing | None) -> str:
        target = self._ledger.unwritten_stable
        if target is not None and _is_rollback(intent):
            return words(target, routing, self._problem, written=not is_unwritten(intent))
        once = "the command is accepted, and carried out once the state is written"
        return f"{once}: {self._problem}"

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


def _is_rollback(intent: Intent) -> bool:
    return intent.command == "rollback"
