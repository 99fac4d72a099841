"""The controller's process: how it begins and ends, with small applications in its place."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from benchmarks.ports import free_port
from controller.core.errors import Refused
from controller.settings import Settings
from controller.up import Server, serve


def test_a_second_ctrl_c_does_not_cut_the_clean_up_short() -> None:
    cleaned = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for seconds in (0.1, 0.15):
            asyncio.get_running_loop().call_later(seconds, signal.raise_signal, signal.SIGINT)
        yield
        cleaned.append("router and nodes")  # not reached where the server is cut short

    Server(Settings(port=free_port())).run(FastAPI(lifespan=lifespan))
    assert cleaned == ["router and nodes"]


def test_a_start_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "fleet.yaml", tmp_path / "state", "process", port=free_port())
    with pytest.raises(Refused, match=r"fleet\.yaml"):
        serve(settings)
    assert list(tmp_path.iterdir()) == []
