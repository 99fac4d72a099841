"""What the router's clients are told on its behalf, in OpenAI's shape, as nodes tell it."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.responses import JSONResponse

RETRY_AFTER_SECONDS: Final = 5


def key_of(request: Request) -> str | None:
    """The API key, as nodes take it."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None


def unauthorized() -> JSONResponse:
    message = "This needs an API key: send it as Authorization: Bearer …; nothing was done."
    return error(401, message, "invalid_api_key", {"WWW-Authenticate": "Bearer"})


def unavailable(message: str, code: str = "unavailable") -> JSONResponse:
    return error(503, message, code, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def error(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    value = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": value}, status, headers)
