"""GET /metrics, and which nodes Prometheus is to scrape beside the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from controller.api.failover_families import of_drills, of_failover, of_spool
from controller.api.metric_families import of_disk, of_loop
from controller.api.routes import Running
from controller.api.service import Service

router = APIRouter()


@router.get("/metrics")
async def metrics(service: Running) -> Response:
    """In Prometheus' text format."""
    facts = [
        *of_loop(service.loop, service.parts.runtime.name, service.lag),
        *of_failover(service.loop),
        *of_spool(service.spool.summary()),
    ]
    text = await asyncio.to_thread(_exposition, service, facts)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/metrics/targets")
async def targets(service: Running) -> list[dict[str, Any]]:
    """The nodes that run, as Prometheus' `http_sd_configs` reads them."""
    return [
        {"targets": [node.address], "labels": {"node": node.name, "version": node.version}}
        for node in service.loop.observer.nodes.values()
        if node.running and node.address is not None
    ]


def _exposition(service: Service, facts: Iterable[Metric]) -> bytes:
    """With what must be read from the disk and from /proc. Blocking."""
    families = [
        *facts,
        *of_drills(service.drills.drills.newest_of_each()),
        *of_disk(service.folder.path),
        *ProcessCollector(registry=None).collect(),
    ]
    return generate_latest(_Read(families))


@dataclass(frozen=True, slots=True)
class _Read(Collector):
    """Families that were read already."""

    families: list[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from self.families
