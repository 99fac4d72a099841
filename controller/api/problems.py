"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from controller.core.errors import (
    ControllerError,
    InvalidConfig,
    InvalidName,
    NodeUnavailable,
    NotFound,
    NotificationFailed,
    Refused,
    RouterUnavailable,
    RuntimeUnavailable,
    StoreUnavailable,
)

_STATUS: Final[dict[type[ControllerError], int]] = {
    InvalidName: 422,
    InvalidConfig: 422,
    NotFound: 404,
    Refused: 409,
    StoreUnavailable: 503,
    RuntimeUnavailable: 503,
    RouterUnavailable: 503,
    NodeUnavailable: 503,
    NotificationFailed: 503,
}


def status_of(error: ControllerError) -> int:
    """The HTTP status of an error: that of the nearest class that has one."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def add_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(ControllerError)
    async def controller_error(_request: Request, error: ControllerError) -> JSONResponse:
        return problem(status_of(error), type(error).__name__, str(error))

    @app.exception_handler(HTTPException)
    async def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, "HTTPException", str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'][1:]) or 'the body'}: {item['msg']}"
            for item in error.errors()
        )
        return problem(422, "InvalidRequest", f"{wrong}; nothing was changed")


def problem(status: int, title: str, detail: str) -> JSONResponse:
    """A problem document; `title` is the error's class, which programs may rely on."""
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )
