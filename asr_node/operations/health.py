"""Alive, ready, and exactly which version."""

from __future__ import annotations

import os

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from asr_node.history.history import History
from asr_node.memory import DeviceMemory, host_memory
from asr_node.node import Node
from asr_node.protocols.transcription_request import DEFAULT_MODEL, check_model
from asr_node.transcriber import Transcriber

router = APIRouter()


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Alive, also while it loads or drains", tags=["Operations"])
async def healthz() -> dict[str, str]:
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Ready for work (200), or why not (503)", tags=["Operations"])
async def readyz(request: Request) -> JSONResponse:
    """Degraded is still ready: `degraded` says what is amiss, or null. `memory`: bytes that the
    node's processes hold, by device."""
    node: Node = request.app.state.node
    history: History = request.app.state.history
    transcriber: Transcriber = request.app.state.transcriber
    reasons = [why for why in (node.degraded, history.degraded, transcriber.degraded) if why]
    body = node.readiness() | {
        "degraded": "; ".join(reasons) or None,
        "memory": [memory.to_json() for memory in _memory(node, transcriber)],
    }
    return JSONResponse(body, status_code=200 if node.ready else 503)


@router.get("/version", summary="What is served, digest by digest", tags=["Operations"])
async def version(request: Request) -> dict[str, object]:
    node: Node = request.app.state.node
    return node.identity()


@router.get("/v1/models", summary="The version served, and its alias", tags=["OpenAI"])
async def models(request: Request) -> dict[str, object]:
    node: Node = request.app.state.node
    names = (node.settings.version, DEFAULT_MODEL)
    return {"object": "list", "data": [_model(name, node) for name in names]}


@router.get("/v1/models/{name}", summary="One of them", tags=["OpenAI"])
async def model(request: Request, name: str) -> dict[str, object]:
    node: Node = request.app.state.node
    check_model(name, node.settings)
    return _model(name, node)


def _memory(node: Node, transcriber: Transcriber) -> tuple[DeviceMemory, ...]:
    stats = node.stats()
    pids = (os.getpid(), *stats.worker_pids, *transcriber.decoders.pids)
    return (host_memory(pids), *stats.gpu_memory)


def _model(name: str, node: Node) -> dict[str, object]:
    created = int(node.started_at.timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "asr-node"}
