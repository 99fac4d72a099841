"""A real Prometheus with a folder and a port of its own."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.ports import free_port
from tests.alerts.prometheus_tools import tool


@dataclass
class Prometheus:
    url: str
    log: Path

    def get(self, path: str, **parameters: str) -> Any:
        """Of its API; None while it does not answer."""
        try:
            url = f"{self.url}/api/v1/{path}"
            answer = httpx.get(url, params=parameters, timeout=10, trust_env=False)
        except httpx.HTTPError:
            return None
        return answer.json()["data"] if answer.is_success else None

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Values by the labels', in the order of their names."""
        found = (self.get("query", query=expression) or {}).get("result", [])
        return {
            tuple(dict(sorted(row["metric"].items())).values()): float(row["value"][1])
            for row in found
        }

    def until(self, fact: Callable[[], object], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not fact():
            assert time.monotonic() < deadline, (self.get("targets"), self.log.read_text())
            time.sleep(0.2)


@contextlib.contextmanager
def prometheus(folder: Path, config: str) -> Iterator[Prometheus]:
    """Runs until the block ends."""
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    address, log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        made = Prometheus(f"http://{address}", log)
        made.until(lambda: process.poll() is not None or made.get("status/runtimeinfo"))
        yield made
    finally:
        process.terminate()
        process.wait(30)
