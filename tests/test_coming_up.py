"""What a person reads whose fleet does not come up, from a controller that says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.adapters.state_folder import ControllerAddress, StateFolder
from controller.coming_up import not_ready, not_ready_in
from controller.core.errors import Refused
from controller.up import wait_until_ready

REASON = "v1-1 ended once (its process ended with status 1); its last words: no folder here"
STATUS = {
    "service": "asr",
    "runtime": "process",
    "pools": {
        "stable": {"nodes": [{"name": "v1-1", "health": "ended", "reason": REASON}]},
        "canary": {"nodes": []},
        "backup": {"nodes": [{"name": "backup-v1-1", "health": "healthy", "reason": ""}]},
    },
}


class Controller(BaseHTTPRequestHandler):
    """It answers, and its fleet is not ready."""

    def do_GET(self) -> None:
        body = json.dumps(STATUS).encode()
        self.send_response(200 if self.path == "/api/status" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Controller)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = StateFolder(tmp_path)
    folder.create()
    url = f"http://127.0.0.1:{server.server_port}"
    folder.write_address(ControllerAddress(url, os.getpid(), "fleet.yaml", "process"))
    yield folder
    server.shutdown()
    server.server_close()


def test_a_fleet_that_does_not_come_up_says_why_and_where_its_nodes_log(
    folder: StateFolder,
) -> None:
    command = [sys.executable, "-c", "input()"]
    log_path = folder.path / "controller.log"
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        with pytest.raises(Refused) as refused:
            wait_until_ready(folder, child, log_path, timeout_seconds=0)
        child.kill()
    first, line = str(refused.value).splitlines()
    assert str(log_path) in first
    node_log = folder.path / "nodes" / "v1-1" / "node.log"
    assert line.strip() == f"v1-1 is ended: {REASON}; its log: {node_log}"


def test_in_docker_the_engine_has_the_log(tmp_path: Path) -> None:
    [line] = not_ready_in({**STATUS, "runtime": "docker"}, tmp_path)
    assert line.endswith("its log: docker logs asr-asr-v1-1")


def test_a_controller_that_does_not_answer_adds_nothing(tmp_path: Path) -> None:
    assert not_ready(tmp_path) == []
