"""What is kept of copied requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.core.shadow.judge import Tally
from controller.core.shadow.pair import Counted, Disagreement, Heard


class ShadowStore(Protocol):
    """Durable: what was heard of copied requests. Each may be repeated. Called in threads."""

    def cursors(self, rollout_id: str) -> dict[str, int]:
        """How far each node's history was read, by its name."""
        ...

    def take(self, rollout_id: str, node: str, position: int, heard: Sequence[Heard]) -> None:
        """Rows of a node's history, and how far it was read with them."""
        ...

    def take_keys(self, rollout_id: str, keys: Mapping[str, str]) -> None:
        """Hashes of sticky keys, by request."""
        ...

    def uncompared(self, rollout_id: str, limit: int) -> list[tuple[Heard, Heard]]:
        """Pairs of which both halves and the sticky key are there, stable's half first."""
        ...

    def compared(self, rollout_id: str, found: Mapping[str, Counted | None]) -> None:
        """What was counted, by request; None: nothing that counts."""
        ...

    def tallies(self, rollout_id: str) -> list[Tally]:
        """Pairs that were counted, by sticky key."""
        ...

    def disagreements(self, rollout_id: str, limit: int) -> list[Disagreement]:
        """The pairs that differ most, worst first, with their texts."""
        ...

    def keep_worst(self, rollout_id: str) -> None:
        """Forget the texts of all pairs but those that differ most."""
        ...

    def forget_old(self) -> None:
        """Of any rollout: halves that waited too long, and what only counts and is added up."""
        ...

    def end(self, rollout_id: str) -> None:
        """Forget what never became pairs, and the cursors."""
        ...

    def forget_texts(self, rollout_id: str, request_ids: Sequence[str]) -> None:
        """Of these pairs; what was counted stays."""
        ...
