"""What a client says in JSON: read strictly, with FunASR's names and defaults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from asr_node.errors import StreamRefused
from asr_node.protocols.hotwords import hotwords
from asr_node.recognizer import SAMPLE_RATE, Capabilities, DecodeOptions
from asr_node.settings import Settings

T = TypeVar("T")

INVALID_DATA: Final = 1007  # close codes of RFC 6455
POLICY: Final = 1008
TOO_BIG: Final = 1009

PCM: Final = "pcm"
AUTO: Final = "auto"
FRAME_MS: Final = 60  # the unit of chunk_size
RATES: Final = range(8_000, 192_001)  # Hz
MAX_CHUNK_FRAMES: Final = 100  # 6 s
MAX_NAME: Final = 255
MAX_UNUSED: Final = 32
MAX_CONTROL: Final = 64 * 1024  # characters


class Mode(StrEnum):
    OFFLINE = "offline"
    ONLINE = "online"
    TWO_PASS = "2pass"  # noqa: S105  (no password)


@dataclass(frozen=True, slots=True)
class Setup:
    """What the client has asked for so far. `itn` is False where it asked for none."""

    mode: Mode = Mode.TWO_PASS
    wav_name: str = "microphone"
    wav_format: str = PCM
    audio_fs: int = SAMPLE_RATE
    chunk_ms: int = 600
    hotwords: tuple[str, ...] = ()
    svs_lang: str = AUTO
    itn: bool = True
    svs_itn: bool = True
    unused: frozenset[str] = frozenset()
    parameters: Mapping[str, str] = field(default_factory=dict)  # as they came

    @property
    def whole(self) -> bool:
        """The audio is understood when it is complete: a file, or a container of one."""
        return self.mode is Mode.OFFLINE or self.wav_format != PCM

    @property
    def source(self) -> tuple[Mode, str, int]:
        """What must not change within one utterance."""
        return self.mode, self.wav_format, self.audio_fs

    @property
    def notice(self) -> str | None:
        """In words, what was asked for and changes nothing."""
        return f"not used here: {', '.join(sorted(self.unused))}" if self.unused else None


@dataclass(frozen=True, slots=True)
class Control:
    setup: Setup
    ends: bool  # this file, or this stretch of speech
    wants_acknowledgement: bool


def read_control(text: str, before: Setup) -> Control:
    """Raises StreamRefused, which names the key."""
    message = _object(text)
    values = {key: value for key, value in message.items() if value is not None}
    setup = before
    for key, value in values.items():
        setup = replace(setup, **_reading(key, value, setup))
    flags = {key: _boolean(key, values.get(key, key == "is_speaking")) for key in FLAGS}
    asked = {key: _as_sent(values[key]) for key in values if key in READINGS}
    return Control(
        replace(setup, parameters={**before.parameters, **asked}),
        ends=flags["is_end"] or not flags["is_speaking"],
        wants_acknowledgement=flags["is_end"],
    )


def decode_options(setup: Setup, settings: Settings, capabilities: Capabilities) -> DecodeOptions:
    """FunASR's clients always send the defaults (auto, true): those mean the node's own.

    Raises StreamRefused for what this model cannot honour."""
    language = settings.language if setup.svs_lang == AUTO else setup.svs_lang
    if language not in capabilities.languages:
        known = ", ".join(sorted(capabilities.languages))
        raise _refused("svs_lang", f"This model cannot be told {language}; it knows {known}.")
    itn = settings.itn and setup.itn and setup.svs_itn
    if itn is not settings.itn and not capabilities.itn:
        raise _refused("itn", "This model writes numbers in one way only; leave itn true.")
    if setup.hotwords and not capabilities.hotwords:
        raise _refused("hotwords", "This model takes no hotwords; leave them out.")
    return DecodeOptions(
        language=language,
        itn=itn,
        hotwords=setup.hotwords or settings.hotwords,
        timestamps=capabilities.timestamps,
    )


def _object(text: str) -> dict[str, Any]:
    if len(text) > MAX_CONTROL:
        raise StreamRefused(f"The message is longer than {MAX_CONTROL} characters.", TOO_BIG)
    try:
        message = json.loads(text)
        if "\\u" in text:  # half of a surrogate pair is JSON, and no text that can be answered
            json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise StreamRefused(
            f"The message is not JSON: {error}. Send one JSON object, or audio as binary.",
            INVALID_DATA,
            code="invalid_json",
        ) from error
    if not isinstance(message, dict):
        raise StreamRefused("The message is not a JSON object.", INVALID_DATA, code="invalid_json")
    return message


def _reading(key: str, value: object, setup: Setup) -> dict[str, Any]:
    if key in FLAGS:
        return {}
    if key not in READINGS:
        return {"unused": _with_unused(key, setup.unused)}
    return READINGS[key](key, value)


def _with_unused(key: str, unused: frozenset[str]) -> frozenset[str]:
    """FunASR's servers pass over keys that they do not know, so clients send them."""
    if len(key) > MAX_NAME or len(unused) >= MAX_UNUSED:
        raise _refused(key[:MAX_NAME], "The messages hold too many keys that mean nothing here.")
    return unused | {key}


def _as_sent(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refused(key: str, message: str) -> StreamRefused:
    return StreamRefused(message, POLICY, param=key, code="invalid_parameter")


def _typed(key: str, value: object, kind: type[T], words: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _refused(key, f"{key} is {words}, not {json.dumps(value)[:80]}.")
    return value


def _text(key: str, value: object) -> str:
    text = _typed(key, value, str, "text")
    if len(text) > MAX_NAME:
        raise _refused(key, f"{key} is longer than {MAX_NAME} characters.")
    return text


def _boolean(key: str, value: object) -> bool:
    return _typed(key, value, bool, "true or false")


def _whole_number(key: str, value: object, allowed: range) -> int:
    number = _typed(key, value, int, "a whole number")
    if number not in allowed:
        raise _refused(key, f"{key} is {allowed.start} to {allowed.stop - 1}, not {number}.")
    return number


def _mode(key: str, value: object) -> dict[str, Any]:
    name = _text(key, value)
    try:
        return {"mode": Mode(name)}
    except ValueError as error:
        known = ", ".join(Mode)
        raise _refused(key, f"{key} is one of {known}, not {name}.") from error


def _chunk_size(key: str, value: object) -> dict[str, Any]:
    """[past, current, future] in frames of 60 ms; some clients send "5,10,5".

    The middle one is how often interim results are wanted."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        frames = [int(part) for part in _typed(key, parts, list, "three whole numbers")]
    except (TypeError, ValueError, OverflowError) as error:  # OverflowError: Infinity
        raise _refused(key, f"{key} is three whole numbers, such as [5, 10, 5].") from error
    if len(frames) != 3 or not 1 <= frames[1] <= MAX_CHUNK_FRAMES:
        raise _refused(key, f"{key} is three whole numbers, the middle 1 to {MAX_CHUNK_FRAMES}.")
    return {"chunk_ms": frames[1] * FRAME_MS}


def _hotwords(key: str, value: object) -> dict[str, Any]:
    """A JSON object of weights, as an object or as text; or words with commas between.

    The weights are FunASR's for its finite-state decoder, and change nothing elsewhere."""
    asked = value
    if isinstance(asked, str) and asked.strip().startswith("{"):
        try:
            asked = json.loads(asked)
        except (ValueError, RecursionError) as error:
            raise _refused(key, f"{key} is not JSON: {error}.") from error
    if isinstance(asked, dict):
        return {"hotwords": hotwords("\n".join(asked))}
    return {"hotwords": hotwords(_typed(key, asked, str, "text, or an object of weights"))}


READINGS: Final[Mapping[str, Callable[[str, object], dict[str, Any]]]] = {
    "mode": _mode,
    "wav_name": lambda key, value: {"wav_name": _text(key, value) or Setup().wav_name},
    "wav_format": lambda key, value: {"wav_format": _text(key, value).strip().lower() or PCM},
    "audio_fs": lambda key, value: {"audio_fs": _whole_number(key, value, RATES)},
    "chunk_size": _chunk_size,
    "hotwords": _hotwords,
    "svs_lang": lambda key, value: {"svs_lang": _text(key, value).strip().lower() or AUTO},
    "itn": lambda key, value: {"itn": _boolean(key, value)},
    "svs_itn": lambda key, value: {"svs_itn": _boolean(key, value)},
    # How a client paces itself, and where FunASR's own streaming models look: all clients
    # send these defaults, and they ask for nothing.
    "chunk_interval": lambda key, value: _checked(key, value),
    "encoder_chunk_look_back": lambda key, value: _checked(key, value),
    "decoder_chunk_look_back": lambda key, value: _checked(key, value),
}
FLAGS: Final = ("is_speaking", "is_end")


def _checked(key: str, value: object) -> dict[str, Any]:
    _whole_number(key, value, range(10_000))
    return {}
