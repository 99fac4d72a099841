"""A process that the process runtime takes for a node: it has its command line and its record."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SLEEPS = "import time; print('ready', flush=True); time.sleep(600)"


@contextmanager
def node_stand_in(state_dir: Path, name: str = "v1-1") -> Iterator[psutil.Process]:
    folder = state_dir / "nodes" / name
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", SLEEPS, "asr_node", "--data-dir", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        process = psutil.Process(child.pid)
        write_record(state_dir, name, child.pid, process.create_time())
        yield process
    finally:
        child.kill()
        child.communicate()


def write_record(state_dir: Path, name: str, pid: int, created: float) -> None:
    record = {"version": "v1", "device": "cpu", "port": 1, "started_at": "2026-01-01T00:00:00"}
    path = state_dir / "nodes" / name / "process.json"
    path.write_text(json.dumps({**record, "pid": pid, "created": created}))


def until_frozen(process: psutil.Process, frozen: bool = True) -> bool:
    """The kernel tells a moment after the signal."""
    deadline = time.monotonic() + 30
    while (process.status() == psutil.STATUS_STOPPED) != frozen:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
