"""OpenAI's form for a transcription: read strictly, nothing is dropped in silence."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from asr_node.errors import RequestRefused
from asr_node.protocols.hotwords import hotwords
from asr_node.recognizer import Capabilities, DecodeOptions
from asr_node.settings import Settings
from asr_node.transcriber import Recording

DEFAULT_MODEL: Final = "whisper-1"  # what OpenAI's clients say when nobody told them
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 64 * 1024

Fields = Mapping[str, Sequence[str]]  # by name, without the [] of lists; values as they came


class ResponseFormat(StrEnum):
    JSON = "json"
    TEXT = "text"
    SRT = "srt"
    VTT = "vtt"
    VERBOSE_JSON = "verbose_json"


class Granularity(StrEnum):
    SEGMENT = "segment"
    WORD = "word"


SUBTITLES: Final = frozenset({ResponseFormat.SRT, ResponseFormat.VTT})
STREAMED: Final = frozenset({ResponseFormat.JSON, ResponseFormat.TEXT})


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """`file` is the recording's own, for whoever must close it."""

    recording: Recording
    file: IO[bytes]
    response_format: ResponseFormat
    granularities: frozenset[Granularity]
    stream: bool


async def read_form(request: Request) -> FormData:
    """Spools the upload to the data folder's tmp. The caller closes it.

    Other encodings are refused unread: they would be held in memory."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestRefused("Send multipart/form-data with a field named file.", param="file")
    try:
        return await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise RequestRefused(
            "This node's disk has no room for the upload; nothing of it was kept. Ask another "
            "node, or send less than a megabyte.",
            status=503,
            code="disk_full",
        ) from error


def understand(
    form: FormData, settings: Settings, capabilities: Capabilities
) -> TranscriptionRequest:
    """Raises RequestRefused, which names the field."""
    check_text(form)
    fields = _fields(form)
    for name, values in fields.items():
        _check_known(name, values)
    check_model(_one(fields, "model") or DEFAULT_MODEL, settings)
    response_format = _response_format(_one(fields, "response_format") or ResponseFormat.JSON)
    granularities = _granularities(fields, response_format, capabilities)
    itn = _one(fields, "itn")
    options = decode_options(
        settings,
        capabilities,
        language=_one(fields, "language") or "",
        itn=None if itn is None else _boolean("itn", itn),
        words={name: hotwords(*fields.get(name, ())) for name in HOTWORDS},
        timestamps=Granularity.WORD in granularities
        or (response_format in SUBTITLES and capabilities.timestamps),
    )
    file = _file(form)
    parameters = {name: ",".join(values) for name, values in fields.items()}
    recording = Recording(file.file, file.filename or "", options, parameters)
    stream = _stream(fields, response_format)
    return TranscriptionRequest(recording, file.file, response_format, granularities, stream)


def decode_options(
    settings: Settings,
    capabilities: Capabilities,
    *,
    language: str,
    itn: bool | None,
    words: Mapping[str, tuple[str, ...]],
    timestamps: bool = False,
) -> DecodeOptions:
    """What the model can be told, for every protocol over HTTP. `words`: hotwords by the name
    of the field that brought them. Raises RequestRefused for what it cannot."""
    for name, given in words.items():
        if given and not capabilities.hotwords:
            raise _unsupported(name, f"This model takes no hotwords; leave {name} out.")
    if itn is not None and not capabilities.itn:
        raise _unsupported("itn", "This model cannot switch itn; leave it out.")
    asked = tuple(dict.fromkeys(word for given in words.values() for word in given))
    return DecodeOptions(
        language=_language(language, settings, capabilities),
        itn=settings.itn if itn is None else itn,
        hotwords=asked or settings.hotwords,
        timestamps=timestamps,
    )


def check_text(form: FormData) -> None:
    """The sender names the charset, and some make halves of surrogate pairs, which no answer can
    hold. Raises RequestRefused."""
    for name, value in form.multi_items():
        try:
            f"{name}{value if isinstance(value, str) else value.filename}".encode()
        except UnicodeEncodeError as error:
            raise RequestRefused("The form holds text that is not Unicode; send UTF-8.") from error


def check_model(model: str, settings: Settings) -> None:
    """Raises RequestRefused: 404."""
    if model not in {DEFAULT_MODEL, settings.version}:
        raise RequestRefused(
            f"The model {model} does not exist here; ask for {DEFAULT_MODEL}.",
            status=404,
            param="model",
            code="model_not_found",
        )


def _fields(form: FormData) -> Fields:
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        bare = name.removesuffix("[]")
        if bare in fields and bare not in LISTS:
            raise RequestRefused(f"{name} was given twice.", param=name)
        if isinstance(value, str):
            fields.setdefault(bare, []).append(value)
        elif name != "file":
            raise RequestRefused(f"{name} is not a file field.", param=name)
    return fields


def _one(fields: Fields, name: str) -> str | None:
    return fields[name][0] if name in fields else None


def _check_known(name: str, values: Sequence[str]) -> None:
    if name in UNHONOURED:
        if not all(UNHONOURED[name](value) for value in values):
            raise _unsupported(name, f"This node cannot honour {name}; leave it out.")
    elif name not in HONOURED:
        raise RequestRefused(f"Unknown parameter: {name}.", param=name, code="unknown_parameter")


def _language(asked: str, settings: Settings, capabilities: Capabilities) -> str:
    language = asked.strip().lower() or settings.language
    if language not in capabilities.languages:
        known = ", ".join(sorted(capabilities.languages))
        raise RequestRefused(
            f"This model cannot be told the language {asked}; it knows {known}.",
            param="language",
            code="unsupported_language",
        )
    return language


def _boolean(name: str, asked: str) -> bool:
    if asked.strip().lower() not in {"true", "false"}:
        raise RequestRefused(f"{name} is true or false, not {asked}.", param=name)
    return asked.strip().lower() == "true"


def _response_format(asked: str) -> ResponseFormat:
    try:
        return ResponseFormat(asked)
    except ValueError as error:
        known = ", ".join(ResponseFormat)
        raise RequestRefused(
            f"response_format {asked} is not supported; use {known}.",
            param="response_format",
            code="unsupported_response_format",
        ) from error


def _granularities(
    fields: Fields, response_format: ResponseFormat, capabilities: Capabilities
) -> frozenset[Granularity]:
    """Segments where nothing is asked for, as at OpenAI."""
    name = "timestamp_granularities"
    asked = [value.strip() for value in fields.get(name, ()) if value.strip()]
    if not asked:
        return frozenset({Granularity.SEGMENT})
    if response_format is not ResponseFormat.VERBOSE_JSON:
        raise RequestRefused(f"{name} needs response_format verbose_json.", param=name)
    unknown = [value for value in asked if value not in set(Granularity)]
    if unknown:
        known = ", ".join(Granularity)
        raise RequestRefused(f"{name} is {known}, not {unknown[0]}.", param=name)
    if Granularity.WORD in asked and not capabilities.timestamps:
        raise _unsupported(name, f"This model gives no times of words; leave word out of {name}.")
    return frozenset(Granularity(value) for value in asked)


def _stream(fields: Fields, response_format: ResponseFormat) -> bool:
    asked = _one(fields, "stream") or "false"
    if not _boolean("stream", asked):
        return False
    if response_format not in STREAMED:
        raise RequestRefused(
            f"stream sends events of text; it does not go with response_format {response_format}.",
            param="stream",
        )
    return True


def _file(form: FormData) -> UploadFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RequestRefused("The audio is missing: send it as a file named file.", param="file")
    if file.size == 0:
        raise RequestRefused("The file is empty.", param="file", code="audio_empty")
    return file


def _unsupported(name: str, message: str) -> RequestRefused:
    return RequestRefused(message, param=name, code="unsupported_parameter")


def _is_zero(value: str) -> bool:
    try:
        return float(value) == 0.0
    except ValueError:
        return False


def _is_empty(value: str) -> bool:
    return not value.strip()


def _is_auto(value: str) -> bool:
    """Where to cut is the node's own business, which is what auto means."""
    return value.strip().lower() in {"", "auto"}


HOTWORDS: Final = ("prompt", "hotwords", "hotword", "keywords")  # ours, FunASR's, OpenAI's
LISTS: Final = frozenset(
    {
        "timestamp_granularities",
        "keywords",
        "include",
        "languages",
        "known_speaker_names",
        "known_speaker_references",
    }
)
HONOURED: Final = frozenset(
    {
        "file",
        "model",
        "language",
        "response_format",
        "timestamp_granularities",
        "stream",
        "itn",
        *HOTWORDS,
    }
)

# What OpenAI's clients may send and no model here can do, with the values that ask for nothing.
UNHONOURED: Final[dict[str, Callable[[str], bool]]] = {
    "temperature": _is_zero,
    "chunking_strategy": _is_auto,
    "include": _is_empty,
    "languages": _is_empty,
    "known_speaker_names": _is_empty,
    "known_speaker_references": _is_empty,
}
