"""OpenAI's form for a transcription: read strictly, nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from asr_node.errors import RequestRefused
from asr_node.recognizer import Capabilities, DecodeOptions
from asr_node.settings import Settings
from asr_node.transcriber import Recording

DEFAULT_MODEL: Final = "whisper-1"  # what OpenAI's clients say when nobody told them
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 64 * 1024


class ResponseFormat(StrEnum):
    JSON = "json"
    TEXT = "text"
    VERBOSE_JSON = "verbose_json"


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    recording: Recording
    response_format: ResponseFormat


async def read_form(request: Request) -> FormData:
    """Spools the upload to the data folder's tmp. The caller closes it.

    Other encodings are refused unread: they would be held in memory."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestRefused("Send multipart/form-data with a field named file.", param="file")
    return await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)


def understand(
    form: FormData, settings: Settings, capabilities: Capabilities
) -> TranscriptionRequest:
    """Raises RequestRefused, which names the field."""
    fields = _fields(form)
    for name, value in fields.items():
        _check_known(name, value)
    _check_model(fields.get("model", DEFAULT_MODEL), settings)
    options = DecodeOptions(
        language=_language(fields.get("language", ""), settings, capabilities),
        itn=_itn(fields.get("itn"), settings, capabilities),
    )
    file = _file(form)
    recording = Recording(file.file, file.filename or "", options, fields)
    return TranscriptionRequest(recording, _response_format(fields))


def _fields(form: FormData) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in fields and name not in UNHONOURED:
            raise RequestRefused(f"{name} was given twice.", param=name)
        if isinstance(value, str):
            fields[name] = value
        elif name != "file":
            raise RequestRefused(f"{name} is not a file field.", param=name)
    return fields


def _check_known(name: str, value: str) -> None:
    if name in UNHONOURED:
        if not UNHONOURED[name](value):
            raise RequestRefused(
                f"This node cannot honour {name}; leave it out.",
                param=name,
                code="unsupported_parameter",
            )
    elif name not in HONOURED:
        raise RequestRefused(f"Unknown parameter: {name}.", param=name, code="unknown_parameter")


def _check_model(model: str, settings: Settings) -> None:
    if model not in {DEFAULT_MODEL, settings.version}:
        raise RequestRefused(
            f"The model {model} does not exist here; ask for {DEFAULT_MODEL}.",
            status=404,
            param="model",
            code="model_not_found",
        )


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


def _itn(asked: str | None, settings: Settings, capabilities: Capabilities) -> bool:
    if asked is None:
        return settings.itn
    if not capabilities.itn:
        raise RequestRefused(
            "This model cannot switch itn; leave it out.",
            param="itn",
            code="unsupported_parameter",
        )
    if asked.lower() not in {"true", "false"}:
        raise RequestRefused(f"itn is true or false, not {asked}.", param="itn")
    return asked.lower() == "true"


def _response_format(fields: dict[str, str]) -> ResponseFormat:
    asked = fields.get("response_format", ResponseFormat.JSON)
    try:
        return ResponseFormat(asked)
    except ValueError as error:
        known = ", ".join(ResponseFormat)
        raise RequestRefused(
            f"response_format {asked} is not supported; use {known}.",
            param="response_format",
            code="unsupported_response_format",
        ) from error


def _file(form: FormData) -> UploadFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RequestRefused("The audio is missing: send it as a file named file.", param="file")
    if file.size == 0:
        raise RequestRefused("The file is empty.", param="file", code="audio_empty")
    return file


def _is_zero(value: str) -> bool:
    try:
        return float(value) == 0.0
    except ValueError:
        return False


def _is_empty(value: str) -> bool:
    return not value.strip()


def _is_false(value: str) -> bool:
    return value.strip().lower() in {"", "false"}


HONOURED: Final = frozenset({"file", "model", "language", "response_format", "itn"})

# What OpenAI's clients may send and no model here can do, with the values that ask for nothing.
UNHONOURED: Final[dict[str, Callable[[str], bool]]] = {
    "prompt": _is_empty,
    "hotword": _is_empty,
    "hotwords": _is_empty,
    "temperature": _is_zero,
    "stream": _is_false,
    "timestamp_granularities": _is_empty,
    "timestamp_granularities[]": _is_empty,
    "include": _is_empty,
    "include[]": _is_empty,
    "chunking_strategy": _is_empty,
}
