"""The two servers that benchmarks.node compares, each a process with a log file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import httpx
import psutil

from benchmarks.ports import free_port

ROOT: Final = Path(__file__).resolve().parent.parent
_READY_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 60.0


class ServerFailed(Exception):
    """A server under test did not start, or ended."""


class SpeechServer:
    """`with SpeechServer(…) as server: …` returns once it is ready, and stops it in any case."""

    def __init__(self, name: str, command: Sequence[str], port: int, probe: str, log: Path) -> None:
        """`probe`: the path that answers 200 once the model is loaded."""
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._command, self._probe, self._log = list(command), probe, log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """In a session of its own: a Ctrl-C is for the benchmark, which then stops this."""
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._log.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until(self._is_ready)

    def stop(self) -> None:
        child, self._process = self._process, None
        if child is None:
            return
        workers = _descendants(child.pid)
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for worker in psutil.wait_procs(workers, timeout=5)[1]:
            worker.kill()

    def resident_bytes(self) -> tuple[int, int]:
        """Of the process itself, and of its workers together."""
        assert self._process is not None
        front = psutil.Process(self._process.pid).memory_info().rss
        workers = _descendants(self._process.pid)
        return front, sum(worker.memory_info().rss for worker in workers)

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(self.url + self._probe, timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def _wait_until(self, fact: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not fact():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log.read_text(errors="replace").strip().splitlines()[-8:]
                raise ServerFailed(f"{self.name} did not become ready:\n" + "\n".join(words))
            time.sleep(0.2)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def asr_node(model: Path, options: Sequence[str], folder: Path) -> SpeechServer:
    """Numbers as words (--no-itn), as the other one writes them."""
    port = free_port()
    command = [sys.executable, "-m", "asr_node", "--model", str(model), "--version", model.name]
    command += ["--port", str(port), "--data-dir", str(folder / "data"), "--no-itn", *options]
    return SpeechServer("asr-node", command, port, "/readyz", folder / "asr-node.log")


def funasr_server(model: Path, folder: Path) -> SpeechServer:
    """FunASR's own, as it starts by default, on the CPU."""
    port = free_port()
    script = Path(sys.executable).with_name("funasr-server")
    command = [sys.executable, str(script), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--model-path", str(model)]
    return SpeechServer("funasr-server", command, port, "/health", folder / "funasr-server.log")
