"""The form of POST /v1/batches: many files, and the options that hold for all of them."""

from __future__ import annotations

import io
from typing import Final

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from asr_node.batches.batches import Asked
from asr_node.batches.staging import Upload, check_room, full_disk_refused
from asr_node.errors import RequestRefused
from asr_node.node import Node
from asr_node.protocols.transcription_request import MAX_FIELD_BYTES, check_text, understand
from asr_node.transcriber import Recording

FILES: Final = ("files", "files[]", "file")
OPTIONS: Final = frozenset({"model", "language", "itn", "prompt", "hotword", "hotwords"})
MAX_FIELDS: Final = 16


async def read_batch_form(request: Request, node: Node) -> FormData:
    """The caller closes it. Raises RequestRefused; NoRoom before a byte is read, if it can."""
    settings = node.settings
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestRefused("Send multipart/form-data with fields named files.", param="files")
    coming = int(request.headers.get("content-length", "0"))
    check_room(settings.data_dir, coming, settings.min_free_mb)
    with full_disk_refused():
        return await request.form(
            max_files=settings.batch_files, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
        )


def understand_batch(form: FormData, request_id: str, node: Node) -> Asked:
    """Options are refused for the batch as a whole; a bad file is that file's own affair."""
    check_text(form)
    uploads = []
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            uploads.append(_upload(name, value))
        elif name in OPTIONS:
            fields.append((name, value))
        else:
            raise RequestRefused(
                f"Unknown parameter of a batch: {name}; it takes files and "
                f"{', '.join(sorted(OPTIONS))}.",
                param=name,
                code="unknown_parameter",
            )
    if not uploads:
        raise RequestRefused("The audio is missing: send files named files.", param="files")
    recording = _as_one(fields, node)
    return Asked(request_id, uploads, recording.options, dict(recording.parameters))


def _upload(name: str, file: UploadFile) -> Upload:
    if name not in FILES:
        raise RequestRefused(f"{name} is not a file field; use files.", param=name)
    return Upload(file.file, file.filename or "")


def _as_one(fields: list[tuple[str, str]], node: Node) -> Recording:
    """The options as they would be understood with a single file."""
    stand_in = UploadFile(io.BytesIO(b"\0"), size=1, filename="audio")
    form = FormData([*fields, ("file", stand_in)])
    return understand(form, node.settings, node.capabilities).recording
