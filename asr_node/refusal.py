"""A RequestRefused becomes an answer, at one point for routes and for what wraps them."""

from __future__ import annotations

from fastapi.responses import JSONResponse
from starlette.types import Scope

from asr_node.errors import RequestRefused


def refusal(scope: Scope, error: RequestRefused) -> JSONResponse:
    """Noted in the scope, too, for the line in the log."""
    scope["state"]["refusal"] = error
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)
