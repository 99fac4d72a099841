"""A controller over a world in memory, scraped as Prometheus would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from controller.adapters.drill_folder import DrillFolder
from controller.adapters.spool_folder import SpoolFolder
from controller.adapters.store import SqlStore
from controller.api import metrics
from controller.api.access import access_check
from controller.api.metric_families import PREFIX
from controller.core.spool import SpoolLimits
from controller.engine.measures import Timing
from tests.engine.conftest import Driver
from tests.engine.fakes import Clock, FakeWorld

TOKEN = "a secret token"


@dataclass
class Scraped:
    driver: Driver
    folder: Path
    spool: SpoolFolder
    drills: DrillFolder

    def client(self, host: str = "127.0.0.1") -> httpx.AsyncClient:
        """Of a controller that listens on `host`."""
        server = FastAPI()
        server.state.service = SimpleNamespace(
            loop=self.driver.loop,
            parts=SimpleNamespace(runtime=SimpleNamespace(name="fake")),
            lag=Timing(),
            folder=SimpleNamespace(path=self.folder, token=lambda: TOKEN),
            spool=self.spool,
            drills=SimpleNamespace(drills=self.drills),
        )
        server.middleware("http")(access_check(TOKEN, host))
        server.include_router(metrics.router)
        transport = httpx.ASGITransport(app=server)
        return httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8090")

    async def text(self) -> str:
        answer = await self.client().get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return answer.text

    async def samples(self) -> dict[tuple[str, ...], float]:
        """By name (without the prefix) and then the labels' values, in the order of their names."""
        return {
            (sample.name.removeprefix(f"{PREFIX}_"), *dict(sorted(sample.labels.items())).values()):
                sample.value
            for family in text_string_to_metric_families(await self.text())
            for sample in family.samples
        }  # fmt: skip


@asynccontextmanager
async def a_scraped_controller(folder: Path) -> AsyncIterator[Scraped]:
    """Settled; its world and its loop are `driver`'s."""
    store = SqlStore.in_folder(folder)
    driver = await Driver(FakeWorld(), store, Clock()).begin()
    await driver.until_settled()
    spool = SpoolFolder(folder / "spool", SpoolLimits(), driver.clock)
    yield Scraped(driver, folder, spool, DrillFolder(folder))
    await driver.loop.close()
    store.close()
