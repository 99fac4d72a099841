"""What the router asks for where it does not know the node of a batch: nodes that start again or
work off their last batches are in no list of its own. On the socket of the spool."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from controller.adapters.api_keys import ApiKeys
from controller.adapters.batch_folder import BatchFolder
from controller.api.openai_errors import error, key_of, unauthorized, unavailable
from controller.core.batch import node_of

_PASSED_ON: Final = ("authorization", "accept", "last-event-id", "x-request-id")
_PASSED_BACK: Final = (
    "content-type",
    "cache-control",
    "x-asr-node",
    "x-asr-version",
    "retry-after",
)
_END: Final = "done"  # id of the last event, as nodes have it
_TIMEOUT: Final = httpx.Timeout(60.0, connect=2.0)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """`address_of` a node that runs, by name; `is_expected`: it is to run, and does not yet."""

    keys: ApiKeys
    results: BatchFolder
    address_of: Callable[[str], str | None]
    is_expected: Callable[[str], bool]


def add_batches(app: FastAPI, desk: BatchDesk) -> None:
    app.state.batches = desk
    app.include_router(router)


@router.api_route("/v1/batches/{batch_id}", methods=["GET", "HEAD", "DELETE"])
@router.get("/v1/batches/{batch_id}/events")
async def batch(request: Request, batch_id: str) -> Response:
    desk: BatchDesk = request.app.state.batches
    if not desk.keys.allow(key_of(request)):
        return unauthorized()
    node = node_of(batch_id)
    if node is None:
        return _unknown(batch_id)
    try:
        kept, was_deleted = await asyncio.to_thread(_look, desk.results, batch_id, request.method)
    except OSError:
        return unavailable("The disk does not tell what is kept of this batch. Try again.")
    if was_deleted:
        return _unknown(batch_id)
    if kept is not None:
        return _kept(request, kept)  # it is finished: its node, if there is one, knows no more
    address = desk.address_of(node)
    if address is not None:
        return await _of_the_node(request, address)
    if desk.is_expected(node):
        return unavailable(f"Node {node}, which has this batch, is starting. Try again.")
    return _unknown(batch_id)


def _look(results: BatchFolder, batch_id: str, method: str) -> tuple[dict[str, Any] | None, bool]:
    """What is kept, and whether it was deleted before. Who deletes it is given it a last time, as
    by a node, whose DELETE cancels the rest and answers with what there is."""
    kept = results.find(batch_id)
    if kept is None:
        return None, results.was_deleted(batch_id)
    if method == "DELETE":
        results.delete(batch_id)
    return kept, False


async def _of_the_node(request: Request, address: str) -> Response:
    """As it answers, also bit by bit."""
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    headers["accept-encoding"] = "identity"
    # Of its own: such requests are rare, and nodes come and go. Never through a proxy, and with no
    # certificates: to read them takes 30 ms of the loop that probes nodes, and no node has any.
    client = httpx.AsyncClient(trust_env=False, verify=False, timeout=_TIMEOUT)  # noqa: S501
    try:
        asked = client.build_request(
            request.method, f"http://{address}{request.url.path}", headers=headers
        )
        answer = await client.send(asked, stream=True)
    except httpx.HTTPError:
        await client.aclose()
        return unavailable("The node that has this batch does not answer. Try again.")
    back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    return StreamingResponse(_body(client, answer), answer.status_code, back)


async def _body(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:  # also where the one who asked has left
        await client.aclose()


def _kept(request: Request, found: dict[str, Any]) -> Response:
    """As its node would tell it, now that it is finished: there is nothing to cancel, either."""
    headers = {"Cache-Control": "no-store", "X-ASR-Node": found["node"]}
    if not request.url.path.endswith("/events"):
        return JSONResponse(found, headers=headers)
    last = request.headers.get("last-event-id", "")
    if last == _END:  # a browser's EventSource asks again for ever, unless it is told that
        return Response(status_code=204)
    return Response("".join(_events(found, last)), 200, headers, "text/event-stream")


def _events(found: dict[str, Any], last: str) -> Iterator[str]:
    """How it stands, the files after the one that was seen last, and that this was all."""
    after = int(last) if re.fullmatch(r"[0-9]{1,18}", last) else 0
    summary = {name: value for name, value in found.items() if name != "files"}
    yield _event("batch", summary)
    files = [file for file in found.get("files", ()) if (file.get("cursor") or 0) > after]
    for file in sorted(files, key=itemgetter("cursor")):
        yield _event("file", file, file["cursor"])
    yield _event("done", summary, _END)


def _event(name: str, data: object, event_id: object = None) -> str:
    line = "" if event_id is None else f"id: {event_id}\n"
    return f"{line}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _unknown(batch_id: str) -> Response:
    message = (
        f"There is no batch {batch_id}: it is long gone, or its node had to go before it was done."
    )
    return error(404, message, "batch_not_found")
