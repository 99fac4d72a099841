"""What a drill has done and how it is undone: written down before it is done.

Whoever finds a journal without the drill's process undoes what it names. Undoing is idempotent,
and does nothing where what was hit is gone or was started anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Protocol


class Undo(StrEnum):
    THAW = "thaw"
    ALLOW_WRITING = "allow-writing"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class Target:
    """One start of a node (`instance` as the runtime observes it)."""

    node: str
    instance: str


class Faults(Protocol):
    """Breaks nodes and router, and mends them. Blocks: call it in a thread.

    Whatever is not certainly ours is refused (Refused) or, in undoing, left alone. Raises
    RuntimeUnavailable and RouterUnavailable where the machine does not do what was asked."""

    def target(self, node: str) -> Target:
        """The start of the node that runs now. Raises Refused where none does."""
        ...

    def kill(self, target: Target) -> None: ...

    def freeze(self, target: Target) -> None: ...

    def thaw(self, target: Target) -> None: ...

    def cut(self, target: Target) -> None: ...

    def reconnect(self, target: Target) -> None: ...

    def kill_workers(self, target: Target) -> None: ...

    def forbid_writing(self, target: Target) -> None: ...

    def allow_writing(self, target: Target) -> None: ...

    def kill_router(self) -> None: ...

    def reload_router(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be undone."""

    undo: Undo
    target: Target


@dataclass(frozen=True, slots=True)
class Journal:
    """`fault_at` is None until the fault; then ISO 8601. `pid` is the drill's process."""

    id: str
    drill: str
    actor: str
    runtime: str
    began_at: str
    pid: int
    fault_at: str | None = None
    hit: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    def to_undo(self, undo: Undo, target: Target) -> Journal:
        step = Step(undo, target)
        return self if step in self.steps else replace(self, steps=(*self.steps, step))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Journal:
        """Raises TypeError, KeyError or ValueError where it is none."""
        steps = tuple(Step(Undo(s["undo"]), Target(**s["target"])) for s in value["steps"])
        return cls(**dict(value) | {"hit": tuple(value["hit"]), "steps": steps})


def undo(journal: Journal, faults: Faults) -> None:
    """All of it, the newest first. Raises what the port raises; then it is to be tried again."""
    for step in reversed(journal.steps):
        match step.undo:
            case Undo.THAW:
                faults.thaw(step.target)
            case Undo.ALLOW_WRITING:
                faults.allow_writing(step.target)
            case Undo.RECONNECT:
                faults.reconnect(step.target)
