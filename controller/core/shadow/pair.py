"""The two transcripts of one request: stable's, which the client got, and the copy's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.core.gate import Form
from controller.core.scoring import UtteranceScore, normalised, numbers_unavailable

LONG_SECONDS: Final = 15.0
_SAME_SECONDS: Final = 0.05  # decoders round
_DIGIT: Final = re.compile(r"\d|[零〇幺一二两三四五六七八九十百千万亿]{2,}")


@dataclass(frozen=True, slots=True)
class Heard:
    """One row of a node's history. `copy`: of a copy, which nobody got an answer to. `text` is
    None where the request failed; `audio_seconds` is the recording's length, `cursor` the row's
    place in the history."""

    node: str
    cursor: int
    entry_id: str
    request_id: str
    version: str
    text: str | None
    copy: bool
    audio_seconds: float | None = None
    language: str | None = None
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Edits between the two texts in tokens (of Han each character, else words), against
    stable's: as they are `written`, and with `numbers` by value (None where that cannot be told
    here). `slices` are those that can be known without a reference."""

    units: int
    written: int
    numbers: int | None
    number_units: int
    slices: tuple[str, ...]

    @property
    def alike(self) -> bool:
        return self.written == 0 and not self.numbers


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair whose texts differ, for people. Text of one's users: treat it so."""

    rollout_id: str
    request_id: str
    key_hash: str | None
    stable: Heard
    canary: Heard
    counted: Counted

    @property
    def rate(self) -> float:
        """Edits for each token of stable's (a ratio; may exceed 1)."""
        return self.counted.written / max(1, self.counted.units)


def counted(stable: Heard, canary: Heard) -> Counted | None:
    """None where the two are not of the same recording (an id that a client used twice) or
    stable gave no text to compare with."""
    if stable.text is None or not _same_recording(stable, canary):
        return None
    pair = UtteranceScore("shadow", stable.request_id, stable.text, canary.text)
    written = pair.errors("mer", "written")
    by_value = None if numbers_unavailable() else pair.errors("mer", "numbers")
    return Counted(
        units=written.length,
        written=written.total,
        numbers=by_value.total if by_value else None,
        number_units=by_value.length if by_value else 0,
        slices=tuple(_slices(stable, canary)),
    )


def _same_recording(stable: Heard, canary: Heard) -> bool:
    if stable.audio_seconds is None or canary.audio_seconds is None:
        return canary.text is None  # a copy that failed may never have been decoded
    return abs(stable.audio_seconds - canary.audio_seconds) <= _SAME_SECONDS


def _slices(stable: Heard, canary: Heard) -> Iterator[str]:
    form: Form = "written"
    if any(_DIGIT.search(normalised(heard.text or "", form)) for heard in (stable, canary)):
        yield "digits"
    if stable.audio_seconds is not None:
        yield "long" if stable.audio_seconds >= LONG_SECONDS else "short"
    if stable.language:
        yield f"language:{stable.language}"
    if canary.text is None:
        yield "failed"
    elif stable.text and not canary.text:
        yield "empty"
    elif canary.text and not stable.text:
        yield "text-on-silence"
