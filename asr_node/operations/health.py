"""Alive, ready, and exactly which version."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from asr_node.node import Node
from asr_node.protocols.transcription_request import DEFAULT_MODEL

router = APIRouter()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    node: Node = request.app.state.node
    return JSONResponse(node.readiness(), status_code=200 if node.ready else 503)


@router.get("/version")
async def version(request: Request) -> dict[str, object]:
    node: Node = request.app.state.node
    return node.identity()


@router.get("/v1/models")
async def models(request: Request) -> dict[str, object]:
    node: Node = request.app.state.node
    created = int(node.started_at.timestamp())
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": created, "owned_by": "asr-node"}
            for name in (node.settings.version, DEFAULT_MODEL)
        ],
    }
