"""A real controller, router and fleet in processes of their own, for tests across all of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from docker.errors import DockerException

import docker
from benchmarks.ports import free_port
from controller.adapters.state_folder import StateFolder
from tests.end_to_end.user_load import CLIP, Load

ROOT = Path(__file__).parents[2]
FLEET = """
service: {service}
versions:
  v1: {{model: "{v1_model}"}}
  v2: {{model: "{root}/models/demo-v2"}}
  v3: {{model: "{root}/models/demo-v3"}}
pools:
  stable: {{version: v1, nodes: 2}}
  backup: {{nodes: {backup}}}
  canary: {{nodes: 1}}
router: {{port: {port}, stream_drain: {drain}}}
eval_sets: "{root}/eval_sets"
probes: {probes}
drills:
  - {{drill: network-cut, cron: "0 0 29 2 *", eval_set: digits, clients: 2, steady: 3s, calm: 1s}}
  - {{drill: kill-controller, cron: "0 0 29 2 *", eval_set: digits, clients: 2,
     steady: 3s, calm: 1s}}
"""
NO_GATES = """
steps:
  - {percent: 50, hold: 0s}
  - {percent: 100, hold: 0s}
"""
HELD = """
steps:
  - {percent: 20, hold: 1h}
  - {percent: 50, hold: 0s}
  - {percent: 100, hold: 0s}
"""


@dataclass
class RunningFleet:
    """`up` and `kill_controller` may be called again and again; `down` leaves nothing."""

    folder: Path
    runtime: str = "process"
    service: str = "e2e"
    supervised: bool = False  # whether a killed controller is started again
    backup_nodes: int = 1
    stream_drain: str = "10s"
    v1_model: Path = ROOT / "models" / "demo-v1"
    probes: dict[str, Any] = field(default_factory=dict)
    router_port: int = field(default_factory=lambda: free_port())
    api_port: int = field(default_factory=lambda: free_port())
    _controller: subprocess.Popen[bytes] | None = None

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def router_url(self) -> str:
        return f"http://127.0.0.1:{self.router_port}"

    def up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "fleet.yaml").write_text(
            FLEET.format(
                root=ROOT,
                port=self.router_port,
                service=self.service,
                backup=self.backup_nodes,
                drain=self.stream_drain,
                v1_model=self.v1_model,
                probes=json.dumps(self.probes),
            )
        )
        (self.folder / "quick.yaml").write_text(NO_GATES)
        (self.folder / "held.yaml").write_text(HELD)
        program = ["controller.supervisor"] if self.supervised else ["controller.cli", "up"]
        with (self.folder / "controller.log").open("ab") as log:
            self._controller = subprocess.Popen(
                [sys.executable, "-m", *program, "--fleet",
                 str(self.folder / "fleet.yaml"), "--state-dir", str(self.state_dir),
                 "--runtime", self.runtime, "--port", str(self.api_port)],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.until(lambda: self.status() is not None)

    def kill_controller(self) -> None:
        assert self._controller is not None
        self._controller.kill()
        self._controller.wait()

    def interrupt_controller(self, number: int = signal.SIGINT) -> int:
        """Ctrl-C: everything is stopped; the exit status."""
        assert self._controller is not None
        self._controller.send_signal(number)
        return self._controller.wait(60)

    def down(self) -> None:
        try:
            self.run("rollout", "down", check=False, as_json=False)
            if self._controller is not None:
                self._controller.wait(60)
        finally:
            if self._controller is not None and self._controller.poll() is None:
                self._controller.kill()
                self._controller.wait()
            leftovers = self.leftovers()
            for left in leftovers:
                with contextlib.suppress(psutil.NoSuchProcess, DockerException):
                    left.kill()
        assert leftovers == [], f"left behind: {leftovers}\n{self.log()}"

    def leftovers(self) -> list[Any]:
        """What runs on, given a moment for its last breath."""
        deadline = time.monotonic() + 30
        while left := [*self.processes(), *self.containers()]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return left

    def log(self) -> str:
        return (self.folder / "controller.log").read_text(errors="replace")[-3000:]

    def run(self, command: str, *arguments: str, check: bool = True, as_json: bool = True) -> Any:
        """What a command of ours prints as JSON; without, its exit status."""
        module = "controller.rollback" if command == "rollback" else "controller.cli"
        options = ["--state-dir", str(self.state_dir), *(["--json"] if as_json else [])]
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments, *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, (done.stdout, done.stderr, self.log())
        return json.loads(done.stdout) if as_json else done.returncode

    def rollout(self, *arguments: str, check: bool = True) -> Any:
        return self.run("rollout", *arguments, check=check)

    def start(self, version: str, plan: str = "quick") -> Any:
        return self.rollout("start", version, "--plan", str(self.folder / f"{plan}.yaml"))

    def status(self) -> dict[str, Any] | None:
        try:
            answer = httpx.get(
                f"http://127.0.0.1:{self.api_port}/api/status", timeout=5, trust_env=False
            )
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None

    def events(self, kind: str, subject: str) -> list[str]:
        """What the controller told of it so far, in order."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.api_port}/api/events",
            params={"limit": 1000},
            timeout=30,
            trust_env=False,
        )
        found = answer.raise_for_status().json()
        return [e["message"] for e in found if (e["kind"], e["subject"]) == (kind, subject)]

    def nodes(self) -> dict[str, dict[str, Any]]:
        """All wanted nodes by name."""
        pools = (self.status() or {"pools": {}})["pools"].values()
        return {node["name"]: node for pool in pools for node in pool["nodes"]}

    def until(self, fact: Callable[[], object], seconds: float = 300) -> None:
        """Wait for a fact while the controller lives."""

        def fact_or_dead() -> object:
            assert self._controller is None or self._controller.poll() is None, self.log()
            return fact()

        self.until_without_controller(fact_or_dead, seconds)

    def until_without_controller(self, fact: Callable[[], object], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not fact():
            assert time.monotonic() < deadline, f"not in {seconds} s: {self.status()}\n{self.log()}"
            time.sleep(0.1)

    def until_phase(self, *phases: str) -> None:
        self.until(lambda: (self.status() or {}).get("rollout", {}).get("phase") in phases)

    def until_settled(self) -> None:
        """All wanted nodes are healthy, and nothing else runs."""

        def settled() -> bool:
            status = self.status()
            if status is None or status["alarm"] is not None or not status["router"]["settled"]:
                return False
            nodes = [node for pool in status["pools"].values() for node in pool["nodes"]]
            healthy = all(node["health"] == "healthy" for node in nodes)
            return bool(nodes) and healthy and len(self.running_nodes()) == len(nodes)

        self.until(settled)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this state folder; each has its command line in `info`."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            ours = str(self.state_dir) in " ".join(process.info["cmdline"] or [])
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def containers(self) -> list[Any]:
        """The containers that run for this service (docker runtime)."""
        if self.runtime != "docker":
            return []
        with contextlib.closing(docker.from_env()) as engine:
            ours = {"label": f"asr-rollout.service={self.service}"}
            return list(engine.containers.list(filters=ours, ignore_removed=True))

    def running_nodes(self) -> dict[str, str]:
        """What runs of each node, by name: a process id, or a container id."""
        if self.runtime == "process":
            return {name: str(pid) for name, pid in self.node_pids().items()}
        prefix = f"asr-{self.service}-"
        names = {c.name.removeprefix(prefix): str(c.id) for c in self.containers()}
        return {name: identity for name, identity in names.items() if name != "router"}

    def node_pids(self) -> dict[str, int]:
        """Process ids by node name (process runtime)."""
        commands = {process.pid: process.info["cmdline"] for process in self.processes()}
        nodes = {pid: words for pid, words in commands.items() if "asr_node" in words}
        return {words[words.index("--name") + 1]: pid for pid, words in nodes.items()}

    def kill_node(self, name: str) -> None:
        """kill -9."""
        if self.runtime == "process":
            os.kill(self.node_pids()[name], signal.SIGKILL)
            return
        with contextlib.closing(docker.from_env()) as engine:
            engine.containers.get(f"asr-{self.service}-{name}").kill()

    def transcribe(self, **headers: str) -> httpx.Response:
        with CLIP.open("rb") as audio:
            return httpx.post(
                f"{self.router_url}/v1/audio/transcriptions",
                files={"file": ("clip.ogg", audio)},
                data={"model": "whisper-1"},
                headers=headers,
                timeout=60,
                trust_env=False,
            )

    def get(self, path: str) -> httpx.Response:
        """Through the router."""
        return httpx.get(f"{self.router_url}{path}", timeout=60, trust_env=False)

    @contextlib.contextmanager
    def load(self, clients: int = 4) -> Iterator[Load]:
        """Keep-alive clients that send real audio until the block ends; they never retry."""
        made = Load(self.router_url, clients)
        made.begin()
        try:
            yield made
        finally:
            made.end()

    def folder_state(self) -> StateFolder:
        return StateFolder(self.state_dir)
