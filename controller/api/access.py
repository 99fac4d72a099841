"""Who may ask what: reading is free on loopback but for texts of users; those and every command
need the folder's token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import HTTPException, Request, Response

from controller.api.problems import problem
from controller.api.routes import service_of

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
_RATERS: Final = "/review"  # their page asks for a key of their own (api.review_page)
_FORM: Final = "application/x-www-form-urlencoded"
_LARGEST_FORM: Final = 64 * 1024  # bytes; the longest correction takes 24,000

CallNext = Callable[[Request], Awaitable[Response]]


def access_check(token: str, host: str) -> Callable[[Request, CallNext], Awaitable[Response]]:
    """A middleware. On loopback the Host header must be loopback, too (DNS rebinding), and
    a page of another site cannot know the token."""
    local = host in LOOPBACK

    async def check(request: Request, call_next: CallNext) -> Response:
        if request.url.path not in _OPEN_PATHS:
            if local and (request.url.hostname or "") not in LOOPBACK:
                return problem(403, "Forbidden", "this controller answers on loopback only")
            needs_token = not local or request.method not in _SAFE_METHODS
            if needs_token and not _is_for_raters(request) and not has_token(request, token):
                return problem(
                    401,
                    "Unauthorized",
                    "send `Authorization: Bearer …` with the token in the state folder "
                    "(api.token); nothing was changed",
                )
            if _is_for_raters(request) and (refusal := _unfit_form(request)) is not None:
                return refusal
        response = await call_next(request)
        response.headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'",
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return check


def _is_for_raters(request: Request) -> bool:
    return f"{request.url.path}/".startswith(f"{_RATERS}/")


def _unfit_form(request: Request) -> Response | None:
    """A form is read, and files in it are written to the disk, before its sender is known: so only
    short ones without files are."""
    if request.method in _SAFE_METHODS:
        return None
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or "transfer-encoding" in request.headers:
        return problem(411, "Length Required", "send a Content-Length; nothing was changed")
    if int(length) > _LARGEST_FORM:
        most = f"{_LARGEST_FORM:,} bytes are the most; nothing was changed"
        return problem(413, "Content Too Large", most)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return problem(415, "Unsupported Media Type", f"send {_FORM}; nothing was changed")
    return None


def has_token(request: Request, token: str) -> bool:
    """Whether it was sent by who may read the state folder."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode())


def require_token(request: Request) -> None:
    """A dependency of routes that have texts or recordings of users."""
    if not has_token(request, service_of(request).folder.token()):
        raise HTTPException(
            401,
            "these are texts of users: send `Authorization: Bearer …` with the token in the state "
            "folder (api.token), on loopback, too",
        )
