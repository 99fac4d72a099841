"""Tests marked `docker` run where an engine answers and `make images` has been run; elsewhere
they are skipped with the reason, or fail with it where REQUIRE_DOCKER=1."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from pathlib import Path

import pytest

from controller.adapters.docker.runtime import DockerRuntime
from controller.adapters.docker.settings import DockerSettings


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (reason := _no_docker()):
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@cache
def _no_docker() -> str | None:
    settings = DockerSettings(service="test", state_dir=Path("none"))
    return asyncio.run(DockerRuntime(settings).missing())
