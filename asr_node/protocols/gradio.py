"""POST /api/predict of the FunASR WebUI: {"data": [recording, hotwords, language, itn]}.

The recording is the path of a file in the upload folder, or an upload inside the JSON. That is
held in memory, so it is bounded; large recordings belong to /v1/audio/transcriptions.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from asr_node.errors import RequestRefused
from asr_node.node import Node
from asr_node.protocols.answers import provenance
from asr_node.protocols.hotwords import hotwords
from asr_node.protocols.once import REPLAYED, joined, key_of, patiently
from asr_node.protocols.shadows import Shadows, is_shadow
from asr_node.protocols.transcription_request import decode_options
from asr_node.protocols.upload_folder import open_inside
from asr_node.recognizer import DecodeOptions
from asr_node.transcriber import Recording

MOST_BYTES: Final = 64 * 1024 * 1024
HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # half a character, perhaps without the other

# What Gradio's clients send beside the data, and what it may be: this page has one function.
ENVELOPE: Final[dict[str, tuple[object, ...] | None]] = {
    "fn_index": (None, 0),
    "api_name": (None, "/predict", "predict"),
    "batched": (None, False),
    "event_data": (None,),
    "event_id": None,
    "session_hash": None,
    "trigger_id": None,
}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Asked:
    recording: Recording
    file: IO[bytes]


@router.post("/api/predict", summary="Transcribe, as the FunASR WebUI asks", tags=["WebUI"])
@router.post("/api/predict/", include_in_schema=False)
async def predict(request: Request) -> Response:
    node: Node = request.app.state.node
    shadows: Shadows = request.app.state.shadows
    if is_shadow(request):
        return await shadows.take(request, receive)
    with ExitStack() as held:
        held.enter_context(node.admitted())
        asked = await receive(request)
        result, replayed = held.enter_context(joined(request, asked, await key_of(request, asked)))
        done = await patiently(request, asyncio.shield(result))
    seconds = round(done.recognition.seconds, 3)
    return JSONResponse(
        {
            "data": [done.recognition.text],
            "is_generating": False,
            "duration": seconds,
            "average_duration": seconds,
            "asr": provenance(node, request.state.request_id),
        },
        headers=REPLAYED if replayed else None,
    )


async def receive(request: Request) -> _Asked:
    """The caller closes its file. Raises RequestRefused, which names the part of data."""
    node: Node = request.app.state.node
    body = await _body(request)
    return await asyncio.to_thread(_understand, body, node)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise RequestRefused(
                f"A request to /api/predict may have {MOST_BYTES} bytes; send larger recordings "
                "to /v1/audio/transcriptions.",
                status=413,
                param="data",
                code="body_too_large",
            )
    return bytes(body)


def _understand(body: bytes, node: Node) -> _Asked:
    recording, words, language, itn = _data(body)
    options = _options(node, words, language, itn)
    name, file = _open(recording, node)
    parameters = {
        "hotwords": ",".join(options.hotwords),
        "language": options.language,
        "itn": str(options.itn).lower(),
    }
    return _Asked(Recording(file, name, options, parameters), file)


def _data(body: bytes) -> tuple[object, object, object, object]:
    try:
        asked = json.loads(body)
        if HALF.search(body):
            json.dumps(asked, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _refused("The body is not JSON that can be read.") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("data"), list):
        raise _refused('Send {"data": [recording, hotwords, language, itn]}.')
    for name, value in asked.items():
        if name != "data" and name not in ENVELOPE:
            raise RequestRefused(f"Unknown key: {name}.", param=name, code="unknown_parameter")
        known = ENVELOPE.get(name)
        if known is not None and value not in known:
            raise RequestRefused(f"This node cannot honour {name}; leave it out.", param=name)
    data: list[object] = asked["data"]
    if not 1 <= len(data) <= 4:
        raise _refused(f"data holds 1 to 4 things (recording, hotwords, …), not {len(data)}.")
    recording, words, language, itn = [*data, None, None, None][:4]
    return recording, words, language, itn


def _options(node: Node, words: object, language: object, itn: object) -> DecodeOptions:
    if not isinstance(language, str | None):
        raise _refused("language, the third of data, is a text or null.", "language")
    if not isinstance(itn, bool | None):
        raise _refused("itn, the fourth of data, is true, false or null.", "itn")
    return decode_options(
        node.settings,
        node.capabilities,
        language=language or "",
        itn=itn,
        words={"hotwords": hotwords(*_texts(words))},
    )


def _texts(words: object) -> Sequence[str]:
    if words is None:
        return ()
    texts = [words] if isinstance(words, str) else words
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _refused("hotwords, the second of data, is a text or a list of texts.", "hotwords")
    return texts


def _open(recording: object, node: Node) -> tuple[str, IO[bytes]]:
    """An upload inside the JSON, or a file of the upload folder, in Gradio's two spellings."""
    match recording:
        case {"data": str(data), **rest} if data:
            return _name(rest.get("name") or rest.get("orig_name")), _decoded(data)
        case str(path) | {"path": str(path)} | {"name": str(path)}:
            settings = node.settings
            file = open_inside(settings.upload_dir, path, settings.max_body_bytes)
            return PurePath(path).name, file
        case _:
            raise _refused("The recording, the first of data, is a path or an upload object.")


def _name(given: Any) -> str:
    return PurePath(given).name if isinstance(given, str) else ""


def _decoded(data: str) -> IO[bytes]:
    """A data URL ("data:audio/wav;base64,…"), or base64 alone."""
    head, comma, encoded = data.rpartition(",")
    if comma and not (head.startswith("data:") and head.endswith(";base64")):
        raise _refused("The upload's data is not a data URL in base64.")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("The upload's data is not base64.") from error
    if not content:
        raise _refused("The upload is empty.")
    return io.BytesIO(content)


def _refused(message: str, param: str = "data") -> RequestRefused:
    return RequestRefused(message, param=param)
