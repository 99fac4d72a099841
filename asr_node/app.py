"""The ASGI application of one node."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from asr_node.body_limit import BodyLimit
from asr_node.errors import RequestRefused, error_body
from asr_node.identity import Identity
from asr_node.log import event
from asr_node.node import Node
from asr_node.operations import health
from asr_node.protocols import transcriptions
from asr_node.transcriber import Transcriber


def create_app(node: Node, transcriber: Transcriber) -> ASGIApp:
    """The two wrappers go around everything, the
    handler of unexpected errors included, which no FastAPI middleware can do."""
    app = FastAPI(title="asr-node", docs_url=None, redoc_url=None)
    app.state.node = node
    app.state.transcriber = transcriber
    app.include_router(health.router)
    app.include_router(transcriptions.router)
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unexpected)
    return Identity(BodyLimit(app, node.settings.max_body_bytes), node)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    event(
        "request.refused",
        request_id=request.state.request_id,
        status=error.status,
        code=error.code,
        param=error.param,
    )
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def _http_error(_: Request, error: Exception) -> Response:
    """Starlette's own: no such route, wrong method, a broken multipart body."""
    assert isinstance(error, HTTPException)
    body = error_body(str(error.detail), error.status_code)
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _client_left(_: Request, __: Exception) -> Response:
    """Nobody reads it; 499 is nginx's number for this."""
    return Response(status_code=499)


async def _unexpected(_: Request, __: Exception) -> Response:
    """The traceback goes to the log, not to the client."""
    return JSONResponse(error_body("The node failed; see its log.", 500), status_code=500)
