"""Drills over HTTP: what there is, what would happen, what happened."""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import asdict
from typing import Annotated, Any

from apscheduler.schedulers.base import BaseScheduler
from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field

from controller.api.routes import Running, _Body
from controller.core.cron import cron_trigger
from controller.core.drill.catalogue import DRILLS, Drill
from controller.core.drill.options import MOST_CLIENTS, ScheduledDrill
from controller.drills.keeper import DrillKeeper, Prospect

router = APIRouter(prefix="/api/drills")
_LATE_SECONDS = 60  # a drill that could not begin by then is not done late


class DrillBody(_Body):
    """`anytime`: also outside of its window. `dry_run` only says what would happen."""

    drill: str
    eval_set: str | None = None
    clients: int | None = Field(None, ge=1, le=MOST_CLIENTS)
    anytime: bool = False
    dry_run: bool = False


@router.get("")
async def drills(service: Running) -> list[dict[str, Any]]:
    """What there is, and whether it may be done now."""
    keeper = service.drills
    running = await asyncio.to_thread(keeper.running)
    return [
        _plan(await keeper.prospect(name))
        | {
            "running": running is not None and running.drill == name,
            "schedule": [_entry(e, keeper.now()) for e in keeper.schedule if e.drill == name],
        }
        for name in DRILLS
    ]


@router.post("", status_code=202)
async def run(body: DrillBody, service: Running) -> dict[str, Any]:
    """Begin one, or say what it would do."""
    asked = {"eval_set": body.eval_set, "clients": body.clients}
    changes = {name: value for name, value in asked.items() if value is not None}
    keeper = service.drills
    prospect = await keeper.prospect(body.drill, changes, body.anytime)
    plan = _plan(prospect)
    if body.dry_run:
        return plan | {"id": None, "message": _would(prospect)}
    drill_id = await keeper.start(prospect, body.actor)
    return plan | {"id": drill_id, "message": f"the drill {drill_id} has begun"}


@router.get("/history")
async def history(
    service: Running, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[dict[str, Any]]:
    """The reports, newest first."""
    reports = await asyncio.to_thread(service.drills.drills.reports, limit)
    return [report.to_dict() for report in reports]


@router.get("/{drill_id}")
async def outcome(drill_id: str, service: Running) -> dict[str, Any]:
    """`state` is running or ended; `report` once it has ended."""
    return await asyncio.to_thread(service.drills.outcome, drill_id)


@router.get("/{drill_id}/report")
async def report(drill_id: str, service: Running) -> PlainTextResponse:
    """As Markdown."""
    text = await asyncio.to_thread(service.drills.drills.text, drill_id)
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


def schedule(keeper: DrillKeeper, scheduler: BaseScheduler) -> None:
    """What was missed while no controller ran is not done late."""
    for entry in keeper.schedule:
        scheduler.add_job(
            keeper.scheduled(entry),
            cron_trigger(entry.cron, entry.timezone),
            misfire_grace_time=_LATE_SECONDS,
            coalesce=True,
            max_instances=1,
        )


def _plan(prospect: Prospect) -> dict[str, Any]:
    drill, options = prospect.drill, prospect.options
    return _facts(drill) | {
        "hit": list(prospect.hit),
        "objections": list(prospect.objections),
        "options": asdict(options),
        "bounds": asdict(options.bounds(drill)),
    }


def _facts(drill: Drill) -> dict[str, Any]:
    return {"drill": drill.name, "does": drill.does, "promise": drill.promise}


def _would(prospect: Prospect) -> str:
    name = prospect.drill.name
    if prospect.objections:
        return f"{name} would be refused now: {'; '.join(prospect.objections)}"
    hit = ", ".join(prospect.hit) or "no node"
    return f"{name} would begin now and hit {hit}; nothing was broken"


def _entry(entry: ScheduledDrill, now: datetime.datetime) -> dict[str, Any]:
    due = cron_trigger(entry.cron, entry.timezone).get_next_fire_time(None, now)
    window = entry.window.text if entry.window is not None else None
    named = {"cron": entry.cron, "timezone": entry.timezone, "window": window}
    return named | {"next": due.isoformat() if due is not None else None}
