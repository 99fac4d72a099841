"""However a node ends, its processes end with it: workers and decoders."""

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


def children_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def modules_of(children: list[psutil.Process]) -> list[str]:
    """What each of them runs: python -P -m MODULE …; a process that has not yet begun has none."""
    return sorted(child.cmdline()[3] for child in children if "-m" in child.cmdline())


ALL = ["asr_node.decoding.main"] + ["asr_node.worker.main"] * 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_node(engine: FakeEngine, tmp_path: Path, number: int) -> None:
    with a_node(engine, tmp_path / "data") as process:
        until(lambda: modules_of(children_of(process)) == ALL)
        children = children_of(process)
        process.send_signal(number)
        status = process.wait(60)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        _, alive = psutil.wait_procs(children, timeout=30)
        assert alive == []


def test_none_of_them_looks_like_a_node_of_its_own(engine: FakeEngine, tmp_path: Path) -> None:
    """The controller finds nodes by the command line: `-m asr_node` and the data folder."""
    with a_node(engine, tmp_path / "data") as process:
        until(lambda: modules_of(children_of(process)) == ALL)
        for child in children_of(process):
            assert "asr_node" not in child.cmdline()
            assert str(tmp_path / "data") not in child.cmdline()
