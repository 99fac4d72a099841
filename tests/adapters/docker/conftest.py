"""Runtimes on a real engine, each test with a service of its own that is removed after it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.client import DockerClient
from docker.errors import NotFound

from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings
from controller.core.version import Version
from controller.engine.ports.runtime import NodeSpec
from tests.adapters.docker.docker_stand_ins import (
    STAND_IN,
    RuntimeMaker,
    SpecMaker,
    build_stand_ins,
)


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    client = DockerClient.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def stand_ins(client: Any) -> None:
    build_stand_ins(client)


@pytest.fixture
def a_spec(tmp_path: Path) -> SpecMaker:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.yaml").touch()
    (model / "model.pt").write_text("not a model")

    def make(name: str = "v1-0", version: str = "v1", image: str = STAND_IN) -> NodeSpec:
        return NodeSpec(name, Version(version, str(model), image=image), device="cpu")

    return make


@pytest.fixture
def a_service(client: Any) -> Iterator[str]:
    """The name of a service of this test alone; its containers and network are removed."""
    service = f"t{os.getpid()}-{uuid.uuid4().hex[:6]}"
    yield service
    _clean_up(client, f"asr-{service}")


@pytest.fixture
async def a_runtime(tmp_path: Path, a_service: str, stand_ins: None) -> AsyncIterator[RuntimeMaker]:
    """Makes runtimes of one service."""
    made: list[DockerRuntime] = []

    def make(state: str = "state") -> DockerRuntime:
        made.append(DockerRuntime(DockerSettings(service=a_service, state_dir=tmp_path / state)))
        return made[-1]

    yield make
    for runtime in made:
        await runtime.close()


@pytest.fixture
def runtime(a_runtime: RuntimeMaker) -> DockerRuntime:
    return a_runtime()


def _clean_up(client: Any, prefix: str) -> None:
    for container in client.containers.list(
        all=True, filters={"name": prefix}, ignore_removed=True
    ):
        with contextlib.suppress(NotFound):
            container.remove(force=True)
    for network in client.networks.list(filters={"name": prefix}):
        network.remove()
