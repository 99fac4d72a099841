"""An eval set: recordings with what was said in them."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.names import check_name


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording. `source` is the path of its audio file, `target` what was said,
    `duration_ms` the audio's length in milliseconds."""

    key: str
    source: str
    target: str
    tags: tuple[str, ...] = ()
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class EvalSet:
    """`digest`: SHA-256 over manifest and audio; scores of different digests do not compare."""

    name: str
    utterances: tuple[Utterance, ...]
    digest: str

    def __post_init__(self) -> None:
        check_name(self.name, "eval set")
