"""`rollback` with a dead controller, a real nginx and a disk that is full to the last byte."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from router_bench import Bench, nginx_of

from controller.adapters.state_folder import StateFolder
from controller.adapters.store import SqlStore
from controller.core.errors import StoreUnavailable
from controller.core.routing import Routing
from controller.rollback_alone import roll_back_alone
from tests.full_disk import fill, make_room, small_disk

ROOT = Path(__file__).parents[3]
HALF = Routing("v1", "v2", 50)
WISH = {"to": None, "force": False}
KEYS = range(60)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "state").mkdir()
    with small_disk(tmp_path / "state") as path:
        yield path


@pytest.fixture
def run_dir(state_dir: Path) -> Iterator[Path]:
    yield state_dir / "router"
    assert nginx_of(state_dir) == []


CONTROLLER = """
import os, signal, sys
from pathlib import Path
from controller.adapters.store import SqlStore
from controller.core.fleet import Fleet
from controller.core.rollout import Phase
from tests.core.rollouts import a_rollout

store = SqlStore.in_folder(Path(sys.argv[1]))
store.save([], Fleet("v1"), a_rollout(phase=Phase.HOLDING, reached_percent=50))
if sys.argv[2] == "ended in order":
    store.close()
os.kill(os.getpid(), signal.SIGKILL)
"""


async def controller(state_dir: Path, end: str) -> None:
    """One that had half of the traffic on v2. Killed, it leaves its log of writes; ended in
    order, it leaves only the database, and a reader needs room for files of its own."""
    arguments = [sys.executable, "-c", CONTROLLER, str(state_dir), end]
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("end", ["killed", "ended in order"])
async def test_traffic_goes_back_and_the_operator_is_told_that_it_is_not_written_down(
    bench: Bench, state_dir: Path, end: str
) -> None:
    await bench.router.start(bench.membership(v1=1, v2=1), HALF)
    assert set((await bench.nodes_of_keys(KEYS)).values()) == {"v1-1", "v2-1"}
    await controller(state_dir, end)
    fill(state_dir)
    with pytest.raises(StoreUnavailable) as told:
        roll_back_alone(StateFolder(state_dir), WISH, "ann")
    assert set((await bench.nodes_of_keys(KEYS)).values()) == {"v1-1"}
    said = str(told.value)
    assert said.startswith("all traffic is on v1, but that is not written down (")
    assert f"Make room in {state_dir}, then run `rollback` again" in said
    assert "A restart of nginx would undo it" in said
    make_room(state_dir)
    assert "rolled back" in roll_back_alone(StateFolder(state_dir), WISH, "ann")
    store = SqlStore.in_folder(state_dir)
    assert [intent.command for intent in store.pending_intents()] == ["rollback"]
    store.close()
