"""Faults in the process runtime: signals and limits, for processes that are verified to be ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import psutil

from controller.adapters.nginx.process_launcher import ProcessLauncher
from controller.adapters.process_runtime import ProcessRuntime
from controller.core.drill.journal import Target
from controller.core.errors import Refused, RuntimeUnavailable

_WORKER: Final = "asr_node.worker"
_NOTHING_MAY_GROW: Final = 0


class ProcessFaults:
    """Implements Faults. A node is known as its runtime knows it, by pid and command line, and
    by the start that its record names; nginx by its launcher's."""

    def __init__(self, runtime: ProcessRuntime, launcher: ProcessLauncher) -> None:
        self._runtime = runtime
        self._launcher = launcher

    def target(self, node: str) -> Target:
        instance = self._runtime.instance_of(node)
        if instance is None or self._runtime.process_of(node, instance) is None:
            raise Refused(f"{node} does not run; nothing was broken")
        return Target(node, instance)

    def kill(self, target: Target) -> None:
        self._living(target).kill()

    def freeze(self, target: Target) -> None:
        """Not its workers: they would outlive a fenced node, and never notice."""
        self._living(target).suspend()

    def thaw(self, target: Target) -> None:
        self._if_living(target, lambda process: process.resume())

    def cut(self, target: Target) -> None:
        raise Refused(f"{target.node} has no network of its own; nothing was broken")

    def reconnect(self, target: Target) -> None:
        """Nothing was cut."""

    def kill_workers(self, target: Target) -> None:
        workers = [p for p in self._living(target).children(recursive=True) if _is_worker(p)]
        if not workers:
            raise Refused(f"{target.node} has no worker; nothing was broken")
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()

    def forbid_writing(self, target: Target) -> None:
        """Its files cannot grow any more: each write fails with EFBIG, and nobody else's does."""
        for process in self._family(self._living(target)):
            _limit_files(process, _NOTHING_MAY_GROW)

    def allow_writing(self, target: Target) -> None:
        def allow(process: psutil.Process) -> None:
            for member in self._family(process):
                _limit_files(member, None)

        self._if_living(target, allow)

    def kill_router(self) -> None:
        processes = self._launcher.processes()
        if not processes:
            raise Refused("nginx does not run; nothing was broken")
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def reload_router(self) -> None:
        self._launcher.reload()

    def _living(self, target: Target) -> psutil.Process:
        process = self._runtime.process_of(target.node, target.instance)
        if process is None:
            raise Refused(f"{target.node} has ended, or was started anew; nothing was broken")
        return process

    def _if_living(self, target: Target, act: Callable[[psutil.Process], None]) -> None:
        process = self._runtime.process_of(target.node, target.instance)
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            act(process)

    def _family(self, process: psutil.Process) -> list[psutil.Process]:
        return [process, *process.children(recursive=True)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any(_WORKER in argument for argument in process.cmdline())
    except psutil.Error:
        return False


def _limit_files(process: psutil.Process, most_bytes: int | None) -> None:
    """The largest file that it may write; None: as large as it ever may."""
    if not hasattr(process, "rlimit"):
        raise Refused("limits of another process can be changed on Linux only; nothing was broken")
    try:
        _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (hard if most_bytes is None else most_bytes, hard))
    except psutil.NoSuchProcess:
        return
    except (psutil.Error, OSError) as error:
        raise RuntimeUnavailable(
            f"cannot change the limits of process {process.pid}: {error}"
        ) from error
