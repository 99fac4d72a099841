"""What both versions heard of copied requests: the texts of users, so only with the token."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from controller.adapters.store import SqlStore
from controller.api.access import require_token
from controller.api.routes import Running
from controller.core.scoring import align
from controller.core.shadow.overview import overview
from controller.core.shadow.pair import Disagreement, Heard

router = APIRouter(dependencies=[Depends(require_token)])


@router.get("/api/rollouts/{rollout_id}/copies")
async def copies(
    rollout_id: str, service: Running, limit: Annotated[int, Query(ge=0, le=500)] = 20
) -> dict[str, Any]:
    """How far the versions disagree, and the pairs that differ most."""
    return await asyncio.to_thread(_copies, service.store, rollout_id, limit)


def _copies(store: SqlStore, rollout_id: str, limit: int) -> dict[str, Any]:
    """Raises NotFound."""
    rollout = store.rollout(rollout_id)
    return {
        "rollout": rollout.id,
        "stable": rollout.from_version,
        "canary": rollout.version,
        **overview(store.shadows.tallies(rollout.id)),
        "worst": [_pair(pair) for pair in store.shadows.disagreements(rollout.id, limit)],
    }


def _pair(pair: Disagreement) -> dict[str, Any]:
    lines = align(pair.stable.text or "", pair.canary.text, measure="mer").lines()
    return {
        "request_id": pair.request_id,
        "edits": pair.counted.written,
        "rate": pair.rate,
        "slices": list(pair.counted.slices),
        "audio_seconds": pair.stable.audio_seconds,
        "stable": _heard(pair.stable),
        "canary": _heard(pair.canary),
        "aligned": list(lines),
    }


def _heard(heard: Heard) -> dict[str, Any]:
    return {"node": heard.node, "entry": heard.entry_id, "text": heard.text}
