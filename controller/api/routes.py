"""The HTTP API: the same nouns as the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from controller.api.reports import Format, report_response
from controller.api.service import Service
from controller.api.status import event_summary, rollout_summary
from controller.engine.records import Command

router = APIRouter()


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(service_of)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=1024)
    actor: str = Field("api", pattern=r"^[\w.@ -]{1,64}$")  # in every event


class StartBody(_Body):
    version: str
    plan: str = "default"
    percent: float | None = Field(None, gt=0, le=100)
    force: bool = False


class PromoteBody(_Body):
    full: bool = False
    force: bool = False


class RollbackBody(_Body):
    to: str | None = None
    force: bool = False


class VersionBody(_Body):
    name: str
    model: str
    revision: str | None = None
    vad_model: str | None = None
    punc_model: str | None = None
    language: str = "auto"
    itn: bool = True
    image: str | None = None
    engine: str = "funasr"
    hotwords: tuple[str, ...] = Field(default=(), max_length=1000)


class EvaluationBody(_Body):
    versions: list[str] = Field(min_length=1, max_length=2)
    eval_sets: list[str] = Field(min_length=1, max_length=20)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(service: Running) -> Response:
    """200 once the router runs and stable takes traffic."""
    alarm = service.loop.alarm.text
    state = service.loop.router_state()
    ready = (
        state.running and state.routing is not None and bool(state.loaded and state.loaded.groups)
    )
    body = {"ready": ready, "alarm": alarm}
    return JSONResponse(body, status_code=200 if ready else 503)


@router.get("/api/status")
async def status(service: Running) -> dict[str, Any]:
    return service.status()


@router.get("/api/versions")
async def versions(service: Running) -> list[dict[str, Any]]:
    return service.versions_summary()


@router.post("/api/versions", status_code=201)
async def add_version(body: VersionBody, service: Running) -> dict[str, Any]:
    message = await service.add_version(body.model_dump(exclude={"actor"}), body.actor)
    return {"message": message}


@router.get("/api/rollouts")
async def rollouts(
    service: Running, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> list[dict[str, Any]]:
    newest = await asyncio.to_thread(service.store.rollouts, limit)
    return [rollout_summary(rollout) for rollout in newest]


@router.get("/api/rollouts/{rollout_id}")
async def rollout(rollout_id: str, service: Running) -> dict[str, Any]:
    found = await asyncio.to_thread(service.store.rollout, rollout_id)
    return rollout_summary(found) | {"report": f"/api/rollouts/{rollout_id}/report"}


@router.get("/api/rollouts/{rollout_id}/report")
async def report(
    rollout_id: str, service: Running, form: Annotated[Format, Query(alias="format")] = "markdown"
) -> Response:
    """Everything that happened, and on which numbers."""
    return await report_response(service.store, rollout_id, form)


@router.post("/api/rollouts", status_code=201)
async def start(body: StartBody, service: Running) -> dict[str, Any]:
    service.loop.check_start(body.version, body.force)
    plan = await service.plan(body.plan, body.percent)
    arguments = {"version": body.version, "plan": plan, "force": body.force}
    return await _command(service, "start", arguments, body.actor)


@router.post("/api/rollouts/current/promote")
async def promote(body: PromoteBody, service: Running) -> dict[str, Any]:
    return await _command(service, "promote", body.model_dump(exclude={"actor"}), body.actor)


@router.post("/api/rollouts/current/{command}")
async def steer(
    command: Literal["pause", "resume", "retry", "abort"], body: _Body, service: Running
) -> dict[str, Any]:
    return await _command(service, command, {}, body.actor)


@router.post("/api/rollback")
async def rollback(body: RollbackBody, service: Running) -> dict[str, Any]:
    return await _command(service, "rollback", {"to": body.to, "force": body.force}, body.actor)


@router.post("/api/evaluations", status_code=202)
async def evaluate(body: EvaluationBody, service: Running) -> dict[str, Any]:
    return {"id": await service.evaluations.begin(body.versions, body.eval_sets)}


@router.get("/api/evaluations/{number}")
async def evaluation(number: int, service: Running) -> dict[str, Any]:
    return service.evaluations.result(number)


@router.get("/api/events")
async def events(
    request: Request,
    service: Running,
    after: Annotated[int | None, Query(ge=0)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """The audit. As server-sent events where the client accepts text/event-stream."""
    if "text/event-stream" in request.headers.get("accept", ""):
        cursor = request.headers.get("last-event-id", "")
        begin = int(cursor) if cursor.isdigit() else after or 0
        return StreamingResponse(_stream(service, begin), media_type="text/event-stream")
    store = service.store
    if after is None:
        found = await asyncio.to_thread(store.last_events, limit)
    else:
        found = await asyncio.to_thread(store.events, after, limit)
    return JSONResponse([event_summary(event) for event in found])


@router.post("/api/notifications/test")
async def try_notifications(body: _Body, service: Running) -> list[dict[str, Any]]:
    return await service.notifier.test(body.actor)


@router.post("/api/down", status_code=202)
async def down(_body: _Body, service: Running) -> dict[str, str]:
    service.stop()
    return {"message": "stopping: the router finishes its requests, then the nodes end"}


async def _command(
    service: Service, command: Command, arguments: dict[str, Any], actor: str
) -> dict[str, Any]:
    outcome = await service.loop.submit(command, arguments, actor)
    if outcome.refusal is not None:
        raise outcome.refusal
    rollout = service.loop.rollout
    return {
        "message": outcome.message,
        "rollout": rollout_summary(rollout) if rollout is not None else None,
    }


async def _stream(service: Service, after: int) -> AsyncIterator[str]:
    """Events as they come; a comment line now and then shows that the stream lives."""
    while True:
        found = await asyncio.to_thread(service.store.events, after, 200)
        for event in found:
            after = event.id or after
            data = json.dumps(event_summary(event))
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
        if not found:
            yield ": alive\n\n"
            await service.loop.changed(timeout_seconds=1.0)
