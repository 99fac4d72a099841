"""The load generator's process, seen from the benchmark that runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from benchmarks.load import READY
from benchmarks.records import Record

_ROOT: Final = Path(__file__).resolve().parent.parent
_STOP_SECONDS: Final = 90.0


class LoadProcess:
    """`with LoadProcess(url, file, "--light"): …`; the options are those of benchmarks.load."""

    def __init__(self, url: str, output: Path, *options: str) -> None:
        self._output = output
        self._command = [sys.executable, "-m", "benchmarks.load", "--url", url]
        self._command += ["--output", str(output), *options]
        self._process: subprocess.Popen[str] | None = None
        self._offset = 0
        self._records: list[Record] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns once its clients run. In a session of its own: a Ctrl-C is for us, and we
        stop it before the router."""
        self._process = subprocess.Popen(
            self._command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != READY:
            raise RuntimeError(f"the load generator did not start: {' '.join(self._command)}")

    def wait(self) -> list[Record]:
        """All records, once it has ended by itself (--requests, --seconds)."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
        return self.records()

    def stop(self) -> list[Record]:
        """All records, once the requests in flight are answered."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.communicate(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
            self._process = None
        return self.records()

    def records(self) -> list[Record]:
        """What has ended so far, in the order of the ends."""
        if self._output.exists():
            with self._output.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
                self._offset += len(whole) + len(newline)
            self._records += [Record.from_line(line) for line in whole.decode().splitlines()]
        return self._records
