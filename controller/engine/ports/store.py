"""The state that outlives the controller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from controller.core.fleet import Fleet
from controller.core.rollout import Rollout
from controller.core.version import Version
from controller.engine.ports.reviews import Reviews
from controller.engine.ports.shadow_store import ShadowStore
from controller.engine.records import Command, Evaluation, Event, Intent, Outcome, Saved


class Store(Protocol):
    """Durable state. Synchronous: called in threads. Each method is one transaction."""

    def load(self) -> Saved: ...

    def save(
        self,
        events: Sequence[Event],
        fleet: Fleet | None = None,
        rollout: Rollout | None = None,
        handled: tuple[Intent, Outcome] | None = None,
        earlier: Rollout | None = None,
    ) -> list[Event]:
        """`earlier`: a rollout before the newest that changes with it."""
        ...

    def promotion_of(self, version: str) -> Rollout | None:
        """The newest rollout that ended with this version promoted, and was not taken back."""
        ...

    def save_version(self, version: Version, digest: str | None, entry: Event) -> None: ...

    def add_intent(self, command: Command, arguments: dict[str, Any], actor: str) -> Intent: ...

    def pending_intents(self) -> list[Intent]: ...

    def save_evaluation(self, evaluation: Evaluation, entry: Event) -> None: ...

    def save_live_evidence(
        self, rollout_id: str, position: str | None, state: dict[str, Any]
    ) -> None:
        """What live traffic has shown, and how far the access log was read for it."""
        ...

    def live_evidence(self, rollout_id: str) -> tuple[str | None, dict[str, Any]] | None:
        """Position and state as they were saved last; None where there are none."""
        ...

    def evaluation(self, version_digest: str, eval_set_digest: str) -> Evaluation | None: ...

    @property
    def reviews(self) -> Reviews: ...

    @property
    def shadows(self) -> ShadowStore: ...
