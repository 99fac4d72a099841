"""GET /metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from asr_node.history.history import History
from asr_node.node import Node
from asr_node.operations.metrics import Gauges
from asr_node.protocols.shadows import Shadows
from asr_node.transcriber import Transcriber

router = APIRouter()


@router.get("/metrics", summary="For Prometheus", tags=["Operations"])
async def metrics(request: Request) -> Response:
    node: Node = request.app.state.node
    text = await asyncio.to_thread(node.metrics.exposition)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def gauges(node: Node, transcriber: Transcriber, history: History, shadows: Shadows) -> Gauges:
    identity, stats = node.identity(), node.stats()
    return Gauges(
        version=node.settings.version,
        digest=node.digest or "",
        engine=node.engine.name,
        device=str(identity["device"]),
        ready=node.ready,
        degraded=node.degraded is not None,
        in_flight=node.in_flight,
        queue_length=stats.queue_length,
        worker_restarts=stats.worker_restarts,
        worker_pids=stats.worker_pids,
        decoder_pids=transcriber.decoders.pids,
        gpu_memory=stats.gpu_memory,
        history_degraded=history.degraded is not None,
        shadow_waiting=shadows.waiting,
    )
