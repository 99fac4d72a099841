"""Golden clips: recordings whose transcript is known. A node may live, be ready, and hear wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.errors import InvalidConfig
from controller.core.eval_set import EvalSet
from controller.core.names import check_name
from controller.core.scoring import score


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """The first `clips` recordings of `eval_set` are heard by every node before it gets traffic,
    and every `interval_seconds` after that; more than `max_error_percent` (CER) is wrong.

    The bound is wide: it tells a broken node from a working one. How good a version is, gates
    measure. Raises InvalidConfig."""

    eval_set: str
    clips: int = 3
    max_error_percent: float = 50.0
    interval_seconds: float = 300.0

    def __post_init__(self) -> None:
        check_name(self.eval_set, "eval set")
        if self.clips < 1:
            raise InvalidConfig(f"clips: {self.clips} is below 1")
        if not 0 <= self.max_error_percent < 100:
            raise InvalidConfig(
                f"max_error_percent: {self.max_error_percent:g} is not within 0-100"
            )
        if self.interval_seconds < 1:
            raise InvalidConfig("interval: must be at least 1s")

    def clips_of(self, eval_set: EvalSet) -> EvalSet:
        return EvalSet(eval_set.name, eval_set.utterances[: self.clips], eval_set.digest)


def hears_wrong(check: GoldenCheck, clips: EvalSet, hypotheses: Mapping[str, str]) -> str | None:
    """Why a node that wrote this (by utterance key) is not to be trusted; None where it is."""
    percent = 100 * score(clips, hypotheses).rate("cer")
    if percent <= check.max_error_percent:
        return None
    worst = score(clips, hypotheses).worst(1)[0]
    count = len(clips.utterances)
    return (
        f"it hears golden clips wrong: {percent:.0f} % of the characters in {count} "
        f"clips of {clips.name} ({check.max_error_percent:g} % are allowed), such as "
        f"{worst.hypothesis!r} for {worst.reference!r}"
    )
