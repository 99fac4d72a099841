"""However a node ends, its workers end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.asr_node.node_fakes import ENGINE, FakeEngine

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
NODE = """
import sys
from pathlib import Path
from asr_node import log
from asr_node.cli import bind
from asr_node.node import Node
from asr_node.server import leave, serve
from asr_node.settings import Settings
model, engine, data = sys.argv[1:]
settings = Settings(
    model=model, engine=engine, version="v1", name="n1", data_dir=Path(data), workers=2
)
log.configure()
leave(serve(Node(settings), bind("127.0.0.1", 0)))
"""


@contextmanager
def a_node(engine: FakeEngine, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", NODE, str(engine.folder), ENGINE, str(data)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not reached():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_node(engine: FakeEngine, tmp_path: Path, number: int) -> None:
    with a_node(engine, tmp_path / "data") as process:
        until(lambda: len(workers_of(process)) == 2)
        workers = workers_of(process)
        process.send_signal(number)
        status = process.wait(60)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert alive == []


def test_a_worker_does_not_look_like_a_node_of_its_own(engine: FakeEngine, tmp_path: Path) -> None:
    """The controller finds nodes by the command line: `-m asr_node` and the data folder."""
    with a_node(engine, tmp_path / "data") as process:
        until(lambda: len(workers_of(process)) == 2)
        until(lambda: all("asr_node.worker.main" in w.cmdline() for w in workers_of(process)))
        for worker in workers_of(process):
            assert "asr_node" not in worker.cmdline()
            assert str(tmp_path / "data") not in worker.cmdline()
