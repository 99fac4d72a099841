"""A controller with router and nodes for one benchmark: own folder, own ports, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import httpx
import yaml

from benchmarks.machine import Watch, containers_left, kill_container, kill_process
from benchmarks.ports import free_port
from controller.client import Client

ROOT: Final = Path(__file__).resolve().parent.parent
Runtime = Literal["process", "docker"]
ENDED: Final = frozenset({"promoted", "rolled_back", "aborted"})
_READY_SECONDS: Final = 180.0
_DOWN_SECONDS: Final = 90.0
_STEP_SECONDS: Final = 240.0
VERSIONS: Final = {"v1": "demo-v1", "v2": "demo-v2", "v3": "demo-v3"}


class FleetFailed(Exception):
    """The fleet under test did not do what a benchmark needs."""


class BenchFleet:
    """`with BenchFleet("process") as fleet: …` starts everything, and stops it in any case."""

    def __init__(
        self,
        runtime: Runtime,
        plans: Mapping[str, Mapping[str, Any]],
        versions: Mapping[str, str] = VERSIONS,
        supervised: bool = False,
    ) -> None:
        """`plans` by name: what `rollout start --plan NAME` can ask for. `versions`: the folder
        in models/ of each; v1 is stable. `supervised`: a killed controller is started again."""
        self.runtime: Runtime = runtime
        self._program = ["controller.supervisor"] if supervised else ["controller.cli", "up"]
        self.folder = Path(tempfile.mkdtemp(prefix="asr-rollout-"))
        self.state_dir = self.folder / "state"
        self.service = f"bench-{os.getpid()}"
        self.log_path = self.folder / "controller.log"
        self.kept = False
        self._stopped = False
        self._api_port, self._router_port = free_port(), free_port()
        self._watch = Watch(self.folder)
        self._controller: subprocess.Popen[bytes] | None = None
        self._write_files(plans, versions)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if self.kept and error is None:
            return
        left = self.stop()
        if left:
            raise FleetFailed("had to be killed at the end: " + "; ".join(left)) from error

    @property
    def url(self) -> str:
        """The controller's, which is also the dashboard's."""
        return f"http://127.0.0.1:{self._api_port}"

    @property
    def api_address(self) -> tuple[str, int]:
        return "127.0.0.1", self._api_port

    @property
    def router_url(self) -> str:
        return f"http://127.0.0.1:{self._router_port}"

    @property
    def client(self) -> Client:
        return Client(self.state_dir, environment={})

    @property
    def token(self) -> str:
        return (self.state_dir / "api.token").read_text().strip()

    # -- its life -------------------------------------------------------------------------

    def start(self) -> None:
        """Returns when the router takes traffic and every wanted node is healthy."""
        command = [sys.executable, "-m", *self._program]
        command += ["--fleet", str(self.folder / "fleet.yaml"), "--state-dir", str(self.state_dir)]
        command += ["--runtime", self.runtime, "--port", str(self._api_port)]
        with self.log_path.open("ab") as log:
            self._controller = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the benchmark, which then stops this
            )
        self.wait_until("the controller answers", self._answers, _READY_SECONDS)
        self.wait_until("all nodes are healthy", self.all_healthy, _READY_SECONDS)

    def stop(self) -> list[str]:
        """Stop all of it as `rollout down` does; what is left running all the same.

        A second Ctrl-C does not stop the stopping."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return self._stop()
        finally:
            signal.signal(signal.SIGINT, before)

    def _stop(self) -> list[str]:
        if self._stopped:
            return []
        self._stopped = True
        self._watch.look()
        self._end_controller()
        left = self._leftovers()
        if left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._cli(["down"], _DOWN_SECONDS)
            self._watch.kill()
        if not left:
            shutil.rmtree(self.folder, ignore_errors=True)
        return left

    def _end_controller(self) -> None:
        child, self._controller = self._controller, None
        if child is None:
            return
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(_DOWN_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _leftovers(self) -> list[str]:
        """Processes may take a moment to go after their last word."""
        deadline = time.monotonic() + 5
        while (left := self._watch.left()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left + (containers_left(self.service) if self.runtime == "docker" else [])

    # -- what it says ---------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        value: dict[str, Any] = self.client.get("/api/status")
        self._watch.look()
        return value

    def rollout(self) -> dict[str, Any]:
        return self.status()["rollout"] or {}

    def canary_percent(self) -> float:
        return float(self.status()["router"]["percent"]["canary"])

    def nodes(self) -> dict[str, dict[str, Any]]:
        """All wanted nodes by name, with their pool."""
        pools = self.status()["pools"]
        return {n["name"]: n | {"pool": pool} for pool in pools for n in pools[pool]["nodes"]}

    def all_healthy(self) -> bool:
        """All wanted nodes are, and nginx serves with them."""
        nodes = self.nodes().values()
        healthy = bool(nodes) and all(node["health"] == "healthy" for node in nodes)
        return healthy and bool(self.status()["router"]["settled"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = self.client.get("/api/events", limit=1000)
        return [event for event in found if event["kind"] == kind]

    def wait_until(
        self, what: str, fact: Callable[[], bool], timeout_seconds: float, poll: float = 0.2
    ) -> None:
        """Raises FleetFailed with the controller's last words where it does not come true."""
        deadline = time.monotonic() + timeout_seconds
        while not fact():
            if self._controller is not None and self._controller.poll() is not None:
                raise FleetFailed(f"the controller ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise FleetFailed(
                    f"waited {timeout_seconds:g} s until {what}, in vain. The controller's last "
                    f"words:\n{self.last_words()}"
                )
            time.sleep(poll)

    def wait_for_share(self, percent: float) -> None:
        """Until the router gives the canary `percent` of the traffic."""

        def flows() -> bool:
            rollout = self.rollout()
            if rollout["phase"] in ENDED:
                raise FleetFailed(f"rollout {rollout['id']} ended: {rollout['reason']}")
            return self.canary_percent() == percent

        self.wait_until(f"{percent:g} % flow", flows, _STEP_SECONDS, 0.05)

    def last_words(self, lines: int = 8) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    # -- commands -------------------------------------------------------------------------

    def rollout_command(self, *arguments: str) -> str:
        """`rollout …` as a person types it; its output. Raises FleetFailed."""
        return self._cli(list(arguments), 600)

    def rollback_command(self) -> list[str]:
        """The command line of `rollback`, which stands alone."""
        script = Path(sys.executable).with_name("rollback")
        start = [str(script)] if script.exists() else [sys.executable, "-m", "controller.rollback"]
        return [*start, "--state-dir", str(self.state_dir)]

    def rollback(self) -> str:
        """Run `rollback`; what it said."""
        done = subprocess.run(
            self.rollback_command(), capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise FleetFailed(f"`rollback` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def kill_node(self, name: str) -> None:
        """SIGKILL, behind the controller's back."""
        if self.runtime == "docker":
            kill_container(self.service, name)
        else:
            kill_process(self.state_dir, name)

    def _cli(self, arguments: list[str], timeout_seconds: float) -> str:
        command = [sys.executable, "-m", "controller.cli", *arguments]
        command += ["--state-dir", str(self.state_dir)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise FleetFailed(
                f"`rollout {' '.join(arguments)}` ended with {done.returncode}: {said}"
            )
        return done.stdout.strip()

    # -- its files ------------------------------------------------------------------------

    def _write_files(
        self, plans: Mapping[str, Mapping[str, Any]], versions: Mapping[str, str]
    ) -> None:
        (self.folder / "rollouts").mkdir()
        for name, plan in plans.items():
            self._write_yaml(f"rollouts/{name}.yaml", dict(plan))
        self._write_yaml(
            "fleet.yaml",
            {
                "service": self.service,
                "runtime": self.runtime,
                "versions": {
                    name: {"model": str(ROOT / "models" / folder)}
                    for name, folder in versions.items()
                },
                "pools": {
                    "stable": {"version": "v1", "nodes": 2},
                    "backup": {"nodes": 1},
                    "canary": {"nodes": 1},
                },
                "router": {"host": "127.0.0.1", "port": self._router_port},
                "eval_sets": str(ROOT / "eval_sets"),
                "plans": str(self.folder / "rollouts"),
            },
        )

    def _write_yaml(self, name: str, value: dict[str, Any]) -> None:
        text = yaml.safe_dump(value, sort_keys=False)
        (self.folder / name).write_text(text, encoding="utf-8")


def end_like_ctrl_c() -> None:
    """Let SIGTERM end a benchmark as Ctrl-C does: with everything stopped. SIGINT is set, too:
    a shell starts what it runs in the background with that signal ignored."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
