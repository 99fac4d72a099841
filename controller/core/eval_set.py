"""An eval set: recordings with what was said in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from controller.core.names import check_name

SILENCE: Final = "silence"  # the tag of recordings in which nothing is said


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording. `source` is the path of its audio file, `target` what was said (nothing in
    silence), `duration_ms` the audio's length in milliseconds.

    `hotwords`: words that must not be missed here. `language`: a code such as zh or en."""

    key: str
    source: str
    target: str
    tags: tuple[str, ...] = ()
    duration_ms: int = 0
    speaker: str = ""
    recording: str = ""
    hotwords: tuple[str, ...] = ()
    language: str = ""

    @property
    def block(self) -> str:
        """What makes utterances alike: the speaker, else the recording, else each is its own."""
        return self.speaker or self.recording or self.key

    @property
    def slices(self) -> tuple[str, ...]:
        """The tags, and `language:zh` where the language is named."""
        language = (f"language:{self.language}",) if self.language else ()
        return tuple(dict.fromkeys((*self.tags, *language)))


@dataclass(frozen=True, slots=True)
class EvalSet:
    """`digest`: SHA-256 over manifest and audio; scores of different digests do not compare."""

    name: str
    utterances: tuple[Utterance, ...]
    digest: str

    def __post_init__(self) -> None:
        check_name(self.name, "eval set")
