"""What the router asks for where no node can serve: an app of its own on a socket of its own, which
gives access to nothing else.

A request is accepted with 202 and the address of its result (RFC 7240, respond-async); whoever
knows the address, and has the API key that it was sent with, gets the node's answer there."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from controller.adapters.api_keys import ApiKeys
from controller.adapters.spool_folder import SpoolFolder
from controller.adapters.spool_incoming import Incoming
from controller.api.openai_errors import (
    RETRY_AFTER_SECONDS,
    error,
    key_of,
    unauthorized,
    unavailable,
)
from controller.core.errors import SpoolFull
from controller.core.spool import Asked, SpoolEntry, SpoolState, SpoolWhen

_WRITTEN_AT_ONCE: Final = 1024 * 1024
_BODIES_AT_ONCE: Final = 4  # that are written; others wait, unread
_TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"

router = APIRouter()


class SpoolDesk:
    """What the routes need."""

    def __init__(self, folder: SpoolFolder, keys: ApiKeys) -> None:
        self.folder = folder
        self.keys = keys
        self.writing = asyncio.Semaphore(_BODIES_AT_ONCE)


def spool_app(folder: SpoolFolder, keys: ApiKeys) -> FastAPI:
    """`keys` are those that nodes ask their clients for: nobody gets here what they refuse."""
    app = FastAPI(openapi_url=None)
    app.state.desk = SpoolDesk(folder, keys)
    app.include_router(router)
    return app


@router.post(_TRANSCRIPTIONS)
async def accept(request: Request) -> Response:
    desk: SpoolDesk = request.app.state.desk
    asked_for = _prefers_async(request)
    if not _is_wanted(desk.folder.limits.when, asked_for):
        return unavailable("No speech node is ready. Try again.", "unavailable")
    key = key_of(request)
    if not desk.keys.allow(key):
        return unauthorized()
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return error(411, "Send a Content-Length.", "length_required")
    try:
        entry = await _keep(desk, request, await _asked(desk, request, key), int(length))
    except SpoolFull as full:
        desk.folder.counts["refused"] += 1
        return unavailable(f"No speech node is ready, and {full}. Try again.", "spool_full")
    except ClientDisconnect:
        return Response(status_code=400)  # half a request is none; nobody reads this
    answer = _waits(desk, entry)
    answer.headers["Location"] = f"/v1/spool/{entry.id}"
    if asked_for:
        answer.headers["Preference-Applied"] = "respond-async"
    return answer


@router.api_route("/v1/spool/{name}", methods=["GET", "HEAD", "DELETE"])
async def result(request: Request, name: str) -> Response:
    desk: SpoolDesk = request.app.state.desk
    key = key_of(request)
    if not desk.keys.allow(key):
        return unauthorized()
    entry = desk.folder.entry(name)
    try:
        if entry is None or not await _is_his(desk, entry, key):
            return _gone()
    except SpoolFull as full:  # nobody knows whose it is
        return unavailable(f"Nothing can be said of this result now: {full}. Try again.")
    if request.method == "DELETE":
        return await _delete(desk, entry)
    match entry.state:
        case SpoolState.WAITING:
            return _waits(desk, entry)
        case SpoolState.EXPIRED:
            what = "the answer was deleted" if entry.answered_at else "no node could serve in time"
            return error(410, f"This result has expired: {what}.", "expired")
    try:
        late = await asyncio.to_thread(desk.folder.answer_of, entry)
    except FileNotFoundError:  # at this moment
        return _gone()
    headers = {
        "Content-Type": late.content_type,
        "X-ASR-Node": late.node,
        "X-ASR-Version": late.version,
        "Cache-Control": "no-store",
        "Expires": _http_date(entry, desk),
    }
    return Response(
        late.body, late.status, {name: value for name, value in headers.items() if value}
    )


async def _delete(desk: SpoolDesk, entry: SpoolEntry) -> Response:
    """Recording and answer; one that waits is not transcribed any more."""
    try:
        await asyncio.to_thread(desk.folder.delete, entry)
    except OSError:
        return unavailable("The disk does not let it go: it may still be there.", "not_deleted")
    return Response(status_code=204)


async def _asked(desk: SpoolDesk, request: Request, key: str | None) -> Asked:
    query = f"?{request.url.query}" if request.url.query else ""
    key_hash = await asyncio.to_thread(desk.folder.hash_of, key) if key else ""
    client = key_hash
    if not key or desk.keys.file is None:  # which nobody checks: made up, or the same for all
        client = await asyncio.to_thread(desk.folder.hash_of, _address(request))
    return Asked(
        target=_TRANSCRIPTIONS + query,
        content_type=request.headers.get("content-type", ""),
        key_hash=key_hash,
        request_id=request.headers.get("x-request-id", ""),
        client=client,
    )


def _address(request: Request) -> str:
    """The client's, as the router knows it, which writes it behind what others have claimed."""
    return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()


async def _keep(desk: SpoolDesk, request: Request, asked: Asked, length: int) -> SpoolEntry:
    """Raises SpoolFull, and ClientDisconnect where the body ends before its end."""
    async with desk.writing:
        incoming = await asyncio.to_thread(desk.folder.receive, asked, length)
        try:
            await _receive(request, incoming)
            return await asyncio.to_thread(incoming.accept)
        finally:
            await asyncio.to_thread(incoming.close)


async def _receive(request: Request, incoming: Incoming) -> None:
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) >= _WRITTEN_AT_ONCE:
            await asyncio.to_thread(incoming.write, bytes(held))
            held.clear()
    await asyncio.to_thread(incoming.write, bytes(held))


def _is_wanted(when: SpoolWhen, asked_for: bool) -> bool:
    return when is SpoolWhen.ALWAYS or (when is SpoolWhen.ASKED and asked_for)


def _prefers_async(request: Request) -> bool:
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(p.partition(";")[0].strip().lower() == "respond-async" for p in preferences)


async def _is_his(desk: SpoolDesk, entry: SpoolEntry, key: str | None) -> bool:
    """Where it came with a key, the same one is asked for."""
    if not entry.asked.key_hash:
        return True
    given = await asyncio.to_thread(desk.folder.hash_of, key) if key else ""
    return hmac.compare_digest(given, entry.asked.key_hash)


def _waits(desk: SpoolDesk, entry: SpoolEntry) -> Response:
    """202: where it stands, and until when somebody may ask."""
    value = {
        "id": entry.id,
        "status": entry.state.value,
        "accepted_at": entry.accepted_at.isoformat(),
        "expires_at": entry.expires_at(desk.folder.limits).isoformat(),
        "ahead": sum(other.order < entry.order for other in desk.folder.waiting()),
    }
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS), "Cache-Control": "no-store"}
    return JSONResponse(value, 202, headers)


def _http_date(entry: SpoolEntry, desk: SpoolDesk) -> str:
    return entry.expires_at(desk.folder.limits).strftime("%a, %d %b %Y %H:%M:%S GMT")


def _gone() -> Response:
    return error(404, "There is no such result, or it is long gone.", "not_found")
