"""Texts that people corrected become references of an eval set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from controller.adapters.eval_set_writer import Added, add_recordings
from controller.api.raters import RATER
from controller.api.routes import Running
from controller.api.service import Service, utc_now
from controller.core.errors import Refused
from controller.core.eval_set import Utterance
from controller.core.names import check_name
from controller.core.review.votes import Vote
from controller.engine.copies_review import copied
from controller.engine.records import Event, ReviewQueue

router = APIRouter(prefix="/api/eval-sets")
_NAMED: Final = 5  # in a message, at most


class CorrectedBody(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=4096)
    actor: str = Field("api", pattern=RATER)
    rollout: str | None = None  # the newest review
    into: str | None = Field(None, pattern=r"^/[^\x00]*$")  # a folder of eval sets; the fleet's


@router.post("/{name}/corrected", status_code=201)
async def add_corrected(name: str, body: CorrectedBody, service: Running) -> dict[str, Any]:
    """Add the recordings whose text people corrected to an eval set, which may be new."""
    review = service.loop.review
    rollout = body.rollout or await review.newest()
    found, votes, _ = await review.results(rollout)
    recordings, disputed = corrections(found, votes)
    root = Path(body.into) if body.into is not None else service.fleet.eval_sets_dir
    await asyncio.to_thread(_refuse_while_measured, service, root, check_name(name, "eval set"))
    result = await asyncio.to_thread(add_recordings, root, name, recordings)
    message = f"{len(result.added)} recordings of the review of {rollout} added to {root / name}"
    event = Event("eval_set.extended", name, message, body.actor, utc_now())
    await asyncio.to_thread(service.store.save, [event])
    return {
        "added": list(result.added),
        "known": list(result.known),
        "unfit": list(result.unfit),
        "disputed": disputed,
        "message": "; ".join([message, *_left_out(result, disputed)]),
    }


def corrections(found: ReviewQueue, votes: Sequence[Vote]) -> tuple[list[Utterance], list[str]]:
    """The recordings with their corrected texts, and the pairs of which two people wrote down
    different ones: neither is taken. Of copies, a speaker is a user's key: nothing for an eval
    set."""
    texts: dict[str, set[str]] = {}
    for vote in votes:
        if vote.corrected:
            texts.setdefault(vote.pair, set()).add(vote.corrected)
    disputed = sorted(pair for pair, written in texts.items() if len(written) > 1)
    return [
        replace(
            pair.difference.utterance,
            key=f"reviewed-{pair.id}",
            target=min(texts[pair.id]),
            speaker="" if copied(pair.difference) else pair.difference.utterance.speaker,
        )
        for pair in found.pairs
        if pair.difference is not None and len(texts.get(pair.id, ())) == 1
    ], disputed


def _left_out(result: Added, disputed: Sequence[str]) -> list[str]:
    said = []
    if result.known:
        said.append(f"{len(result.known)} left out: the set has them")
    if result.unfit:
        said.append(
            f"{len(result.unfit)} left out that no eval set can have: "
            f"{', '.join(result.unfit[:_NAMED])}"
        )
    if disputed:
        said.append(
            f"{len(disputed)} left out, since people wrote down different texts of them: "
            f"{', '.join(disputed[:_NAMED])}; a changed vote settles it"
        )
    return said


def _refuse_while_measured(service: Service, root: Path, name: str) -> None:
    rollout = service.loop.rollout
    if rollout is None or rollout.ended:
        return
    plan, sets = rollout.plan, service.fleet.eval_sets_dir
    measured = [*plan.eval_sets, *([plan.load_check.eval_set] if plan.load_check else [])]
    if (root / name).resolve() in [(sets / known).resolve() for known in measured]:
        raise Refused(
            f"rollout {rollout.id} is being measured on {name}, which must not change under it; "
            f"nothing was added. Wait for its end, or name another eval set"
        )
