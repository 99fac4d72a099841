"""Who is told of what: a target takes messages of some topics, in one language."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")


class Topic(StrEnum):
    START = "start"  # a rollout began
    STEP = "step"  # it goes on, waits, is paused or resumed
    VERDICT = "verdict"  # its gates were judged
    ROLLBACK = "rollback"  # it ended on the old version
    PROMOTION = "promotion"  # the new version is stable
    FAILOVER = "failover"  # the fleet's alarm, and its end
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go. The URL is a secret, so only the place where it is kept is known here:
    a file (its first line) or an environment variable."""

    file: Path | None = None
    variable: str | None = None
    topics: frozenset[Topic] = frozenset(Topic)
    language: Language = "en"

    @property
    def name(self) -> str:
        """Names it in events, logs and `status`; says nothing of the URL."""
        return str(self.file) if self.file is not None else f"${self.variable}"
