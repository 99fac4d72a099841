"""What the router asks for where it does not know the node of a batch: nodes that start again or
work off their last batches are in no list of its own. On the socket of the spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

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
    address = desk.address_of(node)
    if address is not None:
        return await _of_the_node(request, address)
    if desk.is_expected(node):
        return unavailable(f"Node {node}, which has this batch, is starting. Try again.")
    return await _kept(desk, batch_id)


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


async def _kept(desk: BatchDesk, batch_id: str) -> Response:
    found = await asyncio.to_thread(desk.results.find, batch_id)
    if found is None:
        return _unknown(batch_id)
    headers = {"Cache-Control": "no-store", "X-ASR-Node": found["node"]}
    return JSONResponse(found, headers=headers)


def _unknown(batch_id: str) -> Response:
    message = (
        f"There is no batch {batch_id}: it is long gone, or its node had to go before it was done."
    )
    return error(404, message, "batch_not_found")
