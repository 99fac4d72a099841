"""create_app(settings): the one place where everything is put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version as installed_version

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

from controller.adapters.notifications import AppriseMessenger
from controller.api import copies, drills, metrics, pages, routes
from controller.api.access import access_check
from controller.api.problems import add_problem_handlers
from controller.api.review_page import add_review
from controller.api.service import Service, build_service
from controller.api.spool_server import serving_spool
from controller.api.timers import Round, timers
from controller.engine.measures import watch_lag
from controller.settings import Settings

log = logging.getLogger(__name__)
_OBSERVE_SECONDS = 0.5
_THREADS = 128
_HEARTBEAT_SECONDS = 0.5


def create_app(settings: Settings, stop: Callable[[], None]) -> FastAPI:
    """The controller. `stop` ends the server that runs it (`rollout down`).

    Raises Refused, before anything was started, where fleet.yaml or the machine do not allow
    what it asks for. The caller holds the state folder's lock."""
    service = build_service(settings, stop)
    for target in service.fleet.notifications:
        AppriseMessenger().check(target)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with serving_spool(service), running(service):
            yield

    app = FastAPI(title="asr-rollout", version=installed_version("asr-rollout"), lifespan=lifespan)
    app.state.service = service
    app.middleware("http")(access_check(service.folder.token(), settings.host))
    add_problem_handlers(app)
    app.include_router(routes.router)
    app.include_router(copies.router)
    app.include_router(drills.router)
    app.include_router(metrics.router)
    app.include_router(pages.router)
    add_review(app)
    return app


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Run the loop and its timers; at the end stop router and nodes, and nothing is left."""
    # Stops of nodes wait in threads; they must never hold up a tick or a rollback.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "work"))
    loop = service.loop
    await asyncio.to_thread(service.drills.restore)  # first of all: what a drill froze is no crash
    await loop.begin()
    scheduler = _timers(service)
    drills.schedule(service.drills, scheduler)
    scheduler.start()
    tasks = [
        asyncio.create_task(loop.run(), name="loop"),
        asyncio.create_task(watch_lag(service.lag), name="lag"),
    ]
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
        await service.drills.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await loop.close()
        await service.tear_down()


def _timers(service: Service) -> AsyncIOScheduler:
    loop = service.loop
    rounds: dict[Round, float] = {
        loop.heartbeat: _HEARTBEAT_SECONDS,
        loop.observe_round: _OBSERVE_SECONDS,
        loop.observer.probe_life: loop.config.probes.interval_seconds,
        loop.observer.probe_readiness: loop.config.probes.readiness_interval_seconds,
        loop.check_router: 0.25,
        loop.observe_traffic: 1.0,
        service.notifier.round: 1.0,
        service.spool.round: 1.0,
        service.rotate_logs: 60.0,
        service.copies.sweep: 600.0,
        service.expire_batches: 600.0,
        service.hand_out_keys: 2.0,
        service.drills.round: 2.0,
    }
    return timers(rounds)
