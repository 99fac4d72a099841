"""What a client reads, with FunASR's names; `version`, `digest` and the ids are ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asr_node.errors import RequestRefused
from asr_node.node import Node
from asr_node.recognition import Segment
from asr_node.recognizer import Word
from asr_node.websocket.control import Mode, Setup

Message = Mapping[str, object]

# The names that two passes have: what is being said, and what has been said.
INTERIM: Final = {Mode.ONLINE: "online", Mode.TWO_PASS: "2pass-online"}
FINAL: Final = {Mode.OFFLINE: "offline", Mode.ONLINE: "online", Mode.TWO_PASS: "2pass-offline"}
PUNCTUATION: Final = "，。？！、；：,.?!;:"


@dataclass(frozen=True, slots=True)
class Results:
    """Every message of one stream says who made it."""

    node: Node
    stream_id: str

    def interim(self, setup: Setup, text: str) -> Message:
        return self._message(setup, INTERIM[setup.mode], text, is_final=False)

    def final(
        self,
        setup: Setup,
        text: str,
        *,
        is_final: bool,
        segments: Sequence[Segment] = (),
        offset: float = 0.0,
        request_id: str | None = None,
    ) -> Message:
        """`is_final` is for the last one alone: clients stop listening at it.

        `offset`: seconds of the stream before the segments' own zero."""
        message = self._message(setup, FINAL[setup.mode], text, is_final, request_id)
        return message | _times(segments, offset)

    def acknowledgement(self, setup: Setup, failure: RequestRefused | None) -> Message:
        """Of `is_end`, which FunASR's own client waits for."""
        message = self._message(setup, setup.mode, "", is_final=failure is None)
        return message | {"is_end": True} | _error(failure)

    def failure(self, setup: Setup, error: RequestRefused, *, is_final: bool) -> Message:
        return self._message(setup, FINAL[setup.mode], "", is_final) | _error(error)

    def _message(
        self, setup: Setup, mode: str, text: str, is_final: bool, request_id: str | None = None
    ) -> dict[str, object]:
        message: dict[str, object] = {
            "mode": mode,
            "wav_name": setup.wav_name,
            "text": text,
            "is_final": is_final,
            "request_id": request_id or self.stream_id,
            "version": self.node.settings.version,
            "digest": self.node.digest,
        }
        return message | ({"notice": setup.notice} if setup.notice else {})


def _error(error: RequestRefused | None) -> dict[str, object]:
    """As over HTTP. No client reads it as text, so a result never is an error's words."""
    return dict(error.body()) if error else {}


def _times(segments: Iterable[Segment], offset: float) -> dict[str, object]:
    """`timestamp` is text: clients parse it once more. All in milliseconds."""
    spoken = [segment for segment in segments if segment.words]
    if not spoken:
        return {}
    places = [_place(word, offset) for segment in spoken for word in segment.words]
    sentences = [_sentence(segment, offset) for segment in spoken]
    return {"timestamp": json.dumps(places), "stamp_sents": sentences}


def _sentence(segment: Segment, offset: float) -> dict[str, object]:
    places = [_place(word, offset) for word in segment.words]
    ending = segment.text.rstrip()[-1:]
    return {
        "text_seg": " ".join(word.text for word in segment.words),
        "punc": ending if ending in PUNCTUATION else "",
        "start": places[0][0],
        "end": places[-1][1],
        "ts_list": places,
    }


def _place(word: Word, offset: float) -> list[int]:
    return [round((word.start + offset) * 1000), round((word.end + offset) * 1000)]
