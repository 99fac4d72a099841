"""People's votes over HTTP: for programs, and for who runs the review, with the token; they may be
on texts of users. Raters have their own page (`api.review_page`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from controller.api.access import require_token
from controller.api.raters import RATER, RaterKeys
from controller.api.review_results import results_summary
from controller.api.routes import Running
from controller.api.service import Service
from controller.core.errors import NotFound
from controller.core.review.votes import Choice
from controller.engine.review import LONGEST_CORRECTION

router = APIRouter(prefix="/api/review", dependencies=[Depends(require_token)])
Rater = Annotated[str, Query(pattern=RATER)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=LONGEST_CORRECTION)
    actor: str = Field("api", pattern=RATER)


class OpenBody(_Body):
    rollout: str | None = None  # the newest
    copies: bool = False  # of what was copied to the new version, instead of eval sets


class VoteBody(_Body):
    pair: str
    rater: str = Field(pattern=RATER)
    vote: Choice
    corrected: str | None = None


class ForgetBody(_Body):
    rollout: str | None = None
    pairs: list[str] | None = Field(None, min_length=1, max_length=1000)  # all


class RaterBody(_Body):
    rater: str = Field(pattern=RATER)


@router.post("", status_code=201)
async def open_review(body: OpenBody, service: Running) -> dict[str, Any]:
    """Choose the pairs of a rollout, unless they are chosen."""
    if body.rollout is not None:
        rollout = await asyncio.to_thread(service.store.rollout, body.rollout)
    elif (newest := service.loop.rollout) is not None:
        rollout = newest
    else:
        raise NotFound("no rollout yet: `rollout start VERSION --percent 5` begins one")
    if body.copies:
        queue = await service.copies.open(rollout.id, body.actor)
    else:
        queue = await service.loop.review.open(rollout, body.actor)
    message = f"{len(queue.pairs)} pairs to compare; `rollout review invite NAME` asks people"
    return {"rollout": queue.rollout_id, "pairs": len(queue.pairs), "message": message}


@router.get("/next")
async def next_question(
    service: Running, rater: Rater, rollout: str | None = None
) -> dict[str, Any] | None:
    """What this rater is asked now, blind; null when they have voted on all."""
    review = service.loop.review
    question = await review.ask(rollout or await review.newest(), rater)
    if question is None:
        return None
    return {
        "pair": question.pair,
        "left": question.left,
        "right": question.right,
        "audio": f"/api/review/audio/{question.pair}",
        "voted": question.voted,
        "of": question.of,
    }


@router.post("/votes", status_code=201)
async def vote(body: VoteBody, service: Running) -> dict[str, str]:
    await service.loop.review.vote(body.pair, body.rater, body.vote, body.corrected)
    return {"message": "saved; a later vote on the same pair takes its place"}


@router.get("/results")
async def results(service: Running, rollout: str | None = None) -> dict[str, Any]:
    """All that people said, with the versions: not for who still votes."""
    review = service.loop.review
    found, votes, opinion = await review.results(rollout or await review.newest())
    return results_summary(found, votes, opinion)


@router.post("/forget")
async def forget(body: ForgetBody, service: Running) -> dict[str, Any]:
    """Remove texts, corrections and kept recordings for good."""
    review = service.loop.review
    rollout = body.rollout or await review.newest()
    count = await review.forget(rollout, body.pairs, body.actor)
    message = (
        f"texts, corrections and kept copies of {count} pairs of {rollout} are gone; votes stay"
    )
    return {"forgotten": count, "message": message}


@router.post("/raters", status_code=201)
async def invite(body: RaterBody, service: Running) -> dict[str, str]:
    """A link under which one person votes, and does nothing else."""
    key = RaterKeys(service.folder.token()).key(body.rater)
    path = f"/review/enter?key={key}"
    return {"rater": body.rater, "path": path, "message": f"{body.rater} votes at {path}"}


@router.get("/audio/{pair}")
async def audio(pair: str, service: Running) -> FileResponse:
    return await audio_response(service, pair)


async def audio_response(service: Service, pair_id: str) -> FileResponse:
    """The recording of a pair, also in parts (Range). Raises NotFound."""
    pair = await service.loop.review.pair(pair_id)
    assert pair.difference is not None
    path = await asyncio.to_thread(_inside, service, pair.difference.utterance.source)
    return FileResponse(path, headers={"Cache-Control": "private, no-store"})


def _inside(service: Service, source: str) -> Path:
    """Whatever the database says: nothing but recordings of eval sets and kept copies."""
    path = Path(source).resolve()
    folders = (service.fleet.eval_sets_dir, service.recordings.folder)
    if not any(path.is_relative_to(folder.resolve()) for folder in folders) or not path.is_file():
        raise NotFound("the recording of this pair is not there any more")
    return path
