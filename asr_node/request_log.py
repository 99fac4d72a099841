"""One line, and one count, for every request that was answered."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr_node.errors import RequestRefused
from asr_node.log import event
from asr_node.operations.metrics import Metrics

# The first that fits. A short list, since each is a label in the metrics.
PROTOCOLS: Final = (
    ("/v1/audio/", "openai"),
    ("/v1/models", "openai"),
    ("/v1/batches", "batches"),
    ("/v1/history", "history"),
    ("/api/predict", "gradio"),
    ("/admin/", "admin"),
    ("/healthz", "probe"),
    ("/readyz", "probe"),
    ("/version", "probe"),
    ("/metrics", "probe"),
)
OTHER: Final = "other"
PROBE: Final = "probe"
FAILED: Final = 500
CLIENT_LEFT: Final = 499  # nginx's number: there was nobody to answer


class RequestLog:
    """Probes are counted, not logged: they come every second, and why the node is not ready is
    an event of its own."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = CLIENT_LEFT

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            seconds = time.monotonic() - began
            protocol = _protocol(scope["path"])
            self._metrics.request(protocol, status, seconds)
            if protocol != PROBE or status == FAILED:
                _log(scope, status, protocol, seconds)


def _protocol(path: str) -> str:
    return next((name for start, name in PROTOCOLS if path.startswith(start)), OTHER)


def _log(scope: Scope, status: int, protocol: str, seconds: float) -> None:
    refusal = scope["state"].get("refusal")
    why = {"code": refusal.code, "param": refusal.param} if _refused(refusal) else {}
    event(
        "request.done" if status < 400 else "request.refused",
        level=logging.WARNING if status >= 500 else logging.INFO,
        method=scope["method"],
        path=scope["path"],
        protocol=protocol,
        status=status,
        seconds=round(seconds, 3),
        **why,
    )


def _refused(refusal: object) -> bool:
    return isinstance(refusal, RequestRefused)
