from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from router_bench import Bench, nginx_of
from spool_desk import Desk

from benchmarks.ports import free_port
from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.nginx.router import NginxRouter
from controller.adapters.nginx.settings import RouterSettings

KEY = b"a secret of thirty-two bytes or more"


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a router; {} #1"
    yield path
    assert nginx_of(path) == []


@pytest.fixture
def settings(run_dir: Path, tmp_path: Path) -> RouterSettings:
    (tmp_path / "jwt key").write_bytes(KEY + b"\n")
    return RouterSettings(
        run_dir=run_dir,
        port=free_port(),
        worker_processes=2,
        max_body_bytes=20 * 1024 * 1024,
        jwt_key_file=tmp_path / "jwt key",
        trusted_proxies=("127.0.0.1/32",),
        stream_drain_seconds=5,
    )


@pytest.fixture
def new_router(settings: RouterSettings) -> Callable[[], NginxRouter]:
    """Another object for the same nginx, as a controller that comes back has."""
    return lambda: NginxRouter(settings, ProcessLauncher(settings.run_dir))


@pytest.fixture
async def bench(
    settings: RouterSettings, new_router: Callable[[], NginxRouter]
) -> AsyncIterator[Bench]:
    router = new_router()
    async with httpx.AsyncClient(base_url=settings.url, timeout=30) as client:
        it = Bench(settings, router, client)
        try:
            yield it
        finally:
            await client.aclose()
            await it.router.stop()
            for node in it.nodes.values():
                node.die()


@pytest.fixture
async def desk(bench: Bench, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "spool", bench.router.spool_socket)
    await made.open()
    yield made
    await made.close()
