"""The page on which people vote: one recording, two texts, four answers.

Raters are known by a cookie from their own link (`api.raters`); nothing on the page, in its
addresses or in the recordings tells which version a text is of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, Form, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from controller.api import corrections, review
from controller.api.pages import environment
from controller.api.raters import RaterKeys
from controller.api.review import audio_response
from controller.api.review_words import Language, words
from controller.api.routes import Running
from controller.core.errors import NotFound
from controller.core.review.votes import Choice
from controller.engine.review import LONGEST_CORRECTION, Question

router = APIRouter(prefix="/review", include_in_schema=False)
_COOKIE: Final = "asr_review"
_COOKIE_SECONDS: Final = 90 * 86400
_STATIC: Final = Path(__file__).resolve().parent.parent / "web" / "static"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with none at all, browsers hide where a form came from
}


class NotInvited(Exception):
    """No key, or a key that does not hold any more."""


async def rater_of(request: Request, service: Running) -> str:
    """Raises NotInvited."""
    rater = RaterKeys(service.folder.token()).rater(request.cookies.get(_COOKIE, ""))
    if rater is None:
        raise NotInvited
    return rater


Rater = Annotated[str, Depends(rater_of)]


@router.get("/enter")
async def enter(key: Annotated[str, Query(max_length=512)], service: Running) -> Response:
    """A rater's own link."""
    if RaterKeys(service.folder.token()).rater(key) is None:
        raise NotInvited
    answer = RedirectResponse("/review", status_code=303, headers=_HEADERS)
    answer.set_cookie(
        _COOKIE, key, max_age=_COOKIE_SECONDS, path="/review", httponly=True, samesite="lax"
    )
    return answer


@router.get("")
async def ask(
    request: Request, rater: Rater, service: Running, last: Annotated[str, Query()] = ""
) -> Response:
    """The next pair."""
    people = service.loop.review
    try:
        rollout = service.loop.rollout
        under_way = rollout.id if rollout is not None and not rollout.ended else None
        question = await people.ask_next(rater, under_way)
    except NotFound:
        return _page(request, rater, heading="nothing")
    if question is None:
        return _page(request, rater, heading="all_done", last=last)
    return _page(request, rater, question, last=last)


@router.get("/pairs/{pair}")
async def ask_again(request: Request, pair: str, rater: Rater, service: Running) -> Response:
    """A pair once more, to change a vote."""
    return _page(request, rater, await service.loop.review.ask_again(pair, rater))


@router.post("/votes")
async def vote(
    request: Request,
    rater: Rater,
    service: Running,
    pair: Annotated[str, Form(pattern=r"^[0-9a-f]{1,32}$")],
    vote: Annotated[Choice, Form()],
    corrected: Annotated[str, Form(max_length=LONGEST_CORRECTION)] = "",
) -> Response:
    if not _from_this_page(request):
        raise NotInvited
    await service.loop.review.vote(pair, rater, vote, corrected)
    return RedirectResponse(f"/review?last={pair}", status_code=303, headers=_HEADERS)


@router.get("/audio/{pair}")
async def audio(pair: str, _rater: Rater, service: Running) -> FileResponse:
    return await audio_response(service, pair)


@router.get("/page.css")
async def stylesheet() -> FileResponse:
    return FileResponse(_STATIC / "review.css", media_type="text/css")


@router.get("/page.js")
async def script() -> FileResponse:
    return FileResponse(_STATIC / "review.js", media_type="text/javascript")


def add_review(app: FastAPI) -> None:
    """The page, and the API beside it."""
    app.include_router(review.router)
    app.include_router(corrections.router)
    app.include_router(router)

    @app.exception_handler(NotInvited)
    async def not_invited(request: Request, _error: Exception) -> Response:
        return _page(request, heading="not_invited", status_code=403)


def _from_this_page(request: Request) -> bool:
    """Browsers name where a form came from; a cookie alone would also come from other ports."""
    origin = request.headers.get("origin", "")
    return urlsplit(origin).netloc == request.headers.get("host", "")


def _page(
    request: Request,
    rater: str = "",
    question: Question | None = None,
    *,
    heading: str = "which",
    last: str = "",
    status_code: int = 200,
) -> HTMLResponse:
    language = _language(request)
    shown: dict[str, Any] = {"rater": rater, "question": question, "heading": heading}
    page = environment().get_template("review.html.j2")
    text = page.render(shown, words=words(language), language=language, last=last)
    return HTMLResponse(text, status_code, _HEADERS)


def _language(request: Request) -> Language:
    """The first of the browser's languages that the page has."""
    for wanted in request.headers.get("accept-language", "").lower().split(","):
        if wanted.strip().startswith("zh"):
            return "zh-CN"
        if wanted.strip().startswith("en"):
            return "en"
    return "en"
