"""Nodes as child processes on loopback: for machines without a container engine.

Each node runs in a session of its own, so that Ctrl-C and a crash of the controller do not
reach it, logs to a file, and is known by pid and start time. A record beside its data is
written before the start and completed after it: a controller that died in between finds the
process by its command line, so that a node is adopted and never started twice."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from controller.adapters.api_keys import NO_KEYS, ApiKeys
from controller.adapters.files import last_lines, write_atomically
from controller.adapters.node_arguments import copies_arguments, version_arguments, write_hotwords
from controller.core.errors import RuntimeUnavailable
from controller.engine.ports.runtime import NodeSpec, ObservedNode

HOST: Final = "127.0.0.1"
_RECORD: Final = "process.json"
_LOG: Final = "node.log"
_LOG_BYTES_KEPT: Final = 16 * 1024 * 1024
_KILL_SECONDS: Final = 5.0
_KEPT_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
    "MODELSCOPE_CACHE", "HF_HOME", "HF_ENDPOINT", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of a node's process. `pid` is None between the decision and the start."""

    version: str
    device: str
    port: int
    started_at: str
    pid: int | None = None
    created: float | None = None  # the process's start time, which makes the pid unmistakable


class ProcessRuntime:
    """Implements the Runtime port with subprocesses below `state_dir`/nodes."""

    name = "process"

    def __init__(
        self, state_dir: Path, api_keys: ApiKeys = NO_KEYS, keep_copies: bool = False
    ) -> None:
        """`keep_copies`: nodes keep the recordings of copied requests in their folders."""
        self._api_keys = api_keys
        self._keep_copies = keep_copies
        self._nodes = state_dir.absolute() / "nodes"
        self._children: dict[str, subprocess.Popen[bytes]] = {}  # ours, to be reaped
        self._locks: dict[str, asyncio.Lock] = {}

    async def observe(self) -> tuple[ObservedNode, ...]:
        return await asyncio.to_thread(self._observe)

    async def start(self, spec: NodeSpec) -> None:
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            await asyncio.to_thread(self._start, spec)

    async def stop(self, name: str, grace_seconds: float) -> None:
        async with self._locks.setdefault(name, asyncio.Lock()):
            await asyncio.to_thread(self._stop, name, grace_seconds)

    async def kill(self, name: str) -> None:
        if (record := self._read(name)) and (process := self._find(name, record)):
            process.kill()
            ended = await asyncio.to_thread(self._ended, name, process, _KILL_SECONDS)
            if not ended and self._find(name, record):  # else it only waits to be reaped
                raise RuntimeUnavailable(
                    f"cannot kill node {name}: process {process.pid} still runs "
                    f"{_KILL_SECONDS:.0f} s after SIGKILL; the other nodes go on. Look at "
                    f"`cat /proc/{process.pid}/status`"
                )

    async def last_log(self, name: str, lines: int = 20) -> str:
        return await asyncio.to_thread(last_lines, self._nodes / name / _LOG, lines)

    def instance_of(self, name: str) -> str | None:
        """Which start of the node its record names; None where there is none."""
        record = self._read(name)
        return _instance(record) if record is not None else None

    def process_of(self, name: str, instance: str) -> psutil.Process | None:
        """The living process of this start of a node; None where it ended or another began."""
        record = self._read(name)
        if record is None or record.pid is None or _instance(record) != instance:
            return None
        return self._find(name, record)

    async def close(self) -> None:
        for child in self._children.values():
            child.returncode = child.poll() or 0  # they live on: no warning that they do

    def _observe(self) -> tuple[ObservedNode, ...]:
        names = sorted(path.parent.name for path in self._nodes.glob(f"*/{_RECORD}"))
        records = ((name, self._read(name)) for name in names)
        return tuple(
            self._view(name, record)
            for name, record in records
            if record and not self._is_being_started(name, record)
        )

    def _is_being_started(self, name: str, record: _Record) -> bool:
        """By ourselves, this moment: not yet a process, and no crash either."""
        lock = self._locks.get(name)
        return record.pid is None and lock is not None and lock.locked()

    def _view(self, name: str, record: _Record) -> ObservedNode:
        process = self._find(name, record)
        child = self._children.get(name)
        return ObservedNode(
            name=name,
            version=record.version,
            instance=_instance(record),
            running=process is not None,
            address=f"{HOST}:{record.port}",
            started_at=datetime.datetime.fromisoformat(record.started_at),
            exit_status=child.poll() if child and not process else None,
            device=record.device,
            paused=process is not None and _is_stopped(process),
        )

    def _start(self, spec: NodeSpec) -> None:
        if (record := self._read(spec.name)) and self._find(spec.name, record):
            return
        folder = self._nodes / spec.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        now = datetime.datetime.now(datetime.UTC).isoformat()
        record = _Record(spec.version.name, spec.device, _free_port(), now)
        self._write(spec.name, record)
        child = self._spawn(spec, record.port, folder)
        self._children[spec.name] = child
        created = psutil.Process(child.pid).create_time()
        self._write(spec.name, replace(record, pid=child.pid, created=created))

    def _spawn(self, spec: NodeSpec, port: int, folder: Path) -> subprocess.Popen[bytes]:
        _shorten(folder / _LOG)
        write_hotwords(folder, spec.version)
        try:
            self._api_keys.hand_to(folder)
            with (folder / _LOG).open("ab") as log:
                return subprocess.Popen(
                    node_command(spec, port, folder)
                    + self._api_keys.arguments(folder)
                    + copies_arguments(self._keep_copies),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=node_environment(os.environ),
                )
        except (OSError, ValueError) as error:
            raise RuntimeUnavailable(
                f"cannot start node {spec.name}: {error}; the other nodes go on"
            ) from error

    def _stop(self, name: str, grace_seconds: float) -> None:
        record = self._read(name)
        if record and (process := self._find(name, record)):
            process.terminate()
            if not self._ended(name, process, grace_seconds):
                process.kill()
                self._ended(name, process, _KILL_SECONDS)
        if child := self._children.pop(name, None):
            child.wait()
        (self._nodes / name / _RECORD).unlink(missing_ok=True)

    def _find(self, name: str, record: _Record) -> psutil.Process | None:
        """The living process of a node; None where it ended (or is a zombie)."""
        child = self._children.get(name)
        if child and child.poll() is not None and child.pid == record.pid:
            return None
        if record.pid is None:
            return self._find_by_command(name)
        try:
            process = psutil.Process(record.pid)
            if child and child.pid == record.pid:
                # Not reaped, so its pid is its own. While it dies it has no command line any
                # more and no status yet: it has ended when both can be said.
                return process
            # Not by its start time: psutil adds the boot time, which moves when a clock is set.
            same = self._is_node(process.cmdline(), name)
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def _ended(self, name: str, process: psutil.Process, timeout_seconds: float) -> bool:
        """Whether it ended in time. Our own child is left to Popen, which keeps its status."""
        child = self._children.get(name)
        if not child or child.pid != process.pid:
            return not psutil.wait_procs([process], timeout_seconds)[1]
        try:
            child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _is_node(self, command: list[str], name: str) -> bool:
        return "asr_node" in command and str(self._nodes / name) in command

    def _find_by_command(self, name: str) -> psutil.Process | None:
        """A node whose controller died between starting it and writing down its pid."""
        for process in psutil.process_iter(["cmdline", "create_time"]):
            command = process.info["cmdline"] or []
            if self._is_node(command, name):
                record = self._read(name)
                if record:
                    port = int(command[command.index("--port") + 1])
                    created = process.info["create_time"]
                    self._write(name, replace(record, pid=process.pid, created=created, port=port))
                return process
        return None

    def _read(self, name: str) -> _Record | None:
        try:
            return _Record(**json.loads((self._nodes / name / _RECORD).read_text()))
        except FileNotFoundError:
            return None

    def _write(self, name: str, record: _Record) -> None:
        write_atomically(self._nodes / name / _RECORD, json.dumps(asdict(record)))


def _instance(record: _Record) -> str:
    return f"{record.pid}-{record.created}"


def node_command(spec: NodeSpec, port: int, folder: Path) -> list[str]:
    """The command line of a node; its `--data-dir` makes it unmistakable."""
    # -P: what lies in the working folder under the same name is never run instead.
    command = [sys.executable, "-P", "-m", "asr_node", "--host", HOST, "--port", str(port)]
    command += ["--name", spec.name, "--device", spec.device, "--data-dir", str(folder)]
    return command + version_arguments(spec.version, folder)


def node_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a node may know of our environment: paths and caches, no secrets of others."""
    kept = {key: environment[key] for key in _KEPT_ENVIRONMENT if key in environment}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _is_stopped(process: psutil.Process) -> bool:
    """By a signal such as SIGSTOP."""
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _shorten(path: Path) -> None:
    """Between two runs is the one moment at which nobody writes into a node's log."""
    if path.exists() and path.stat().st_size > _LOG_BYTES_KEPT:
        shutil.move(path, path.with_suffix(".log.1"))
