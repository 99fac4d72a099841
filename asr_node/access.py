"""Who may ask: API keys for the work, the node's own token for /admin."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from asr_node.errors import RequestRefused
from asr_node.refusal import refusal
from asr_node.secrets_file import ApiKeys, bearer, matches_any

# Routers, supervisors and Prometheus have no key, and must see a node whose keys are wrong.
# None of these holds text or audio, and the router passes /metrics to nobody.
OPEN: Final = frozenset({"/healthz", "/readyz", "/version", "/metrics"})
ADMIN: Final = "/admin/"  # has a secret of its own


class RequireKey:
    """Every path but the open ones, WebSockets included, asks for `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] in {"http", "websocket"} and not _is_open(scope["path"])
        if not asks or self._keys.allow(bearer(Headers(scope=scope).get("authorization"))):
            await self._app(scope, receive, send)
        else:  # of a WebSocket, too: this is before its handshake
            await refusal(scope, unauthorized("an API key"))(scope, receive, send)


async def administrator(request: Request) -> None:
    """A dependency of every route under /admin. Raises RequestRefused."""
    given = bearer(request.headers.get("authorization"))
    if not matches_any(given, [request.app.state.admin_token.encode()]):
        raise unauthorized("this node's admin token")


def unauthorized(needed: str) -> RequestRefused:
    return RequestRefused(
        f"This needs {needed}: send it as Authorization: Bearer …; nothing was done.",
        status=401,
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(ADMIN)
