"""An nginx that another one replaces: it takes no connection any more, and ends when its requests
have ended, at the latest after its own `worker_shutdown_timeout`."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

import psutil

_LET_GO_SECONDS: Final = 5.0


class LeavingNginx:
    """Blocking. Known to this process only; without it they end all the same."""

    def __init__(self) -> None:
        self._processes: list[psutil.Process] = []
        self._children: list[subprocess.Popen[bytes]] = []  # to be reaped

    def __contains__(self, process: psutil.Process) -> bool:
        return process in self._processes

    def tell(
        self,
        master: psutil.Process,
        everyone: Sequence[psutil.Process],
        child: subprocess.Popen[bytes] | None,
    ) -> None:
        """Have it leave; returns once it has let go of its ports. `child`: where we started it."""
        self._processes = [p for p in self._processes if p.is_running()] + list(everyone)
        self._children += [child] if child is not None else []
        tell(master, signal.SIGQUIT)
        workers = [process for process in everyone if process != master]
        wait_until(lambda: all(map(is_leaving, workers)), _LET_GO_SECONDS)
        wait_until(lambda: not _listens(master), _LET_GO_SECONDS)

    def reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    def end(self, grace_seconds: float) -> None:
        """All of them, now or when their requests have ended."""
        _, still_there = psutil.wait_procs(self._processes, grace_seconds)
        for process in still_there:
            tell(process, signal.SIGKILL)
        psutil.wait_procs(self._processes, _LET_GO_SECONDS)
        self._processes = []
        for child in self._children:
            child.wait()
        self._children = []


def tell(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return  # already gone


def is_leaving(process: psutil.Process) -> bool:
    try:
        return "shutting down" in " ".join(process.cmdline()) or not process.is_running()
    except psutil.Error:
        return True


def wait_until(reached: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _listens(process: psutil.Process) -> bool:
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(connection.status == psutil.CONN_LISTEN for connection in connections)
