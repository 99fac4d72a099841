"""The ASGI application of one node."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from asr_node.access import RequireKey
from asr_node.batches import routes as batch_routes
from asr_node.batches.batches import Batches
from asr_node.body_limit import BodyLimit
from asr_node.errors import RequestRefused, error_body
from asr_node.history import routes as history_routes
from asr_node.history.history import History
from asr_node.identity import Identity
from asr_node.node import Node
from asr_node.operations import admin, health, scrape
from asr_node.protocols import gradio, transcriptions
from asr_node.protocols.replays import Replays
from asr_node.protocols.shadows import Shadows
from asr_node.protocols.upload_folder import check_folder
from asr_node.refusal import refusal
from asr_node.request_log import RequestLog
from asr_node.secrets_file import ApiKeys, admin_token
from asr_node.transcriber import Transcriber
from asr_node.websocket import streams as websocket
from asr_node.websocket.streams import Streams


def create_app(
    node: Node,
    transcriber: Transcriber,
    history: History,
    batches: Batches,
    shadows: Shadows,
    streams: Streams,
) -> ASGIApp:
    """Raises StartRefused where a file of secrets or the upload folder cannot be used."""
    check_folder(node.settings.upload_dir)
    app = FastAPI(title="asr-node", docs_url=None, redoc_url=None)
    app.state.node = node
    app.state.transcriber = transcriber
    app.state.history = history
    app.state.batches = batches
    app.state.shadows = shadows
    app.state.streams = streams
    app.state.replays = Replays()
    app.state.admin_token = admin_token(node.settings.admin_token_file, node.settings.data_dir)
    node.metrics.watch(lambda: scrape.gauges(node, transcriber, history, shadows))
    work = (transcriptions, gradio, history_routes, batch_routes, websocket)
    for routes in (*work, health, scrape, admin):
        app.include_router(routes.router)
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unexpected)
    return _wrapped(app, node)


def _wrapped(app: ASGIApp, node: Node) -> ASGIApp:
    """These go around everything, the handler of unexpected errors included, which no FastAPI
    middleware can do. From the inside out."""
    settings = node.settings
    app = BodyLimit(app, settings.max_body_bytes, settings.idle_timeout_seconds)
    if settings.api_keys_file is not None:
        app = RequireKey(app, ApiKeys(settings.api_keys_file))
    return Identity(RequestLog(app, node.metrics), node)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    return refusal(request.scope, error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, wrong method, a broken multipart body."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    code: str | None
    match error.status_code:
        case 404:
            code = "no_route"
            message = f"There is nothing at {path}. GET /openapi.json names all there is."
        case 405:
            code = "wrong_method"
            allowed = (error.headers or {}).get("Allow", "another method")
            message = f"{request.method} is not for {path}; use {allowed}."
        case _:
            code, message = None, str(error.detail)
    body = error_body(message, error.status_code, code=code)
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _client_left(_: Request, __: Exception) -> Response:
    """Nobody reads it; 499 is nginx's number for this."""
    return Response(status_code=499)


async def _unexpected(_: Request, __: Exception) -> Response:
    """The traceback goes to the log, not to the client."""
    return JSONResponse(error_body("The node failed; see its log.", 500), status_code=500)
