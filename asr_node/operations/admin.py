"""/admin: what an operator turns by hand. The router passes none of it on."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from asr_node.access import administrator
from asr_node.errors import RequestRefused
from asr_node.log import event
from asr_node.node import Node
from asr_node.settings import DEVICE

MOST_BYTES: Final = 4096

router = APIRouter(prefix="/admin", tags=["Administration"], dependencies=[Depends(administrator)])


@router.post("/device", summary="Move the model to another device")
async def device(request: Request) -> Response:
    """{"device": "cpu" | "cuda" | "cuda:1" | "mps" | "auto"}. Ends also a hold after running
    out of GPU memory (--on-oom ask)."""
    asked = await _device(request)
    node: Node = request.app.state.node
    await node.set_device(asked)
    return _done(request, "device", device=asked)


@router.post("/cache/clear", summary="Give back memory that the model's cache holds")
async def clear_cache(request: Request) -> Response:
    node: Node = request.app.state.node
    await node.clear_cache()
    return _done(request, "cache_clear")


@router.post("/unload", summary="Give back the model's memory; not ready until a reload")
async def unload(request: Request) -> Response:
    node: Node = request.app.state.node
    await node.unload()
    return _done(request, "unload")


@router.post("/reload", summary="Load the model anew, on the device where it is")
async def reload(request: Request) -> Response:
    node: Node = request.app.state.node
    await node.reload()
    return _done(request, "reload")


async def _device(request: Request) -> str:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _refused("The body is too large.")
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise _refused("The body is not JSON.") from error
    if not isinstance(asked, dict) or asked.keys() != {"device"}:
        raise _refused('Send {"device": "cpu"}, or another name.')
    if not isinstance(asked["device"], str) or not DEVICE.fullmatch(asked["device"]):
        raise _refused(f"{asked['device']!r} names no device ({DEVICE.pattern}).")
    return asked["device"]


def _done(request: Request, action: str, device: str | None = None) -> Response:
    node: Node = request.app.state.node
    event("node.administered", action=action, device=device)
    return JSONResponse(node.readiness())


def _refused(message: str) -> RequestRefused:
    return RequestRefused(message, param="device")
