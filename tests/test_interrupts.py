"""What Ctrl-C leaves behind: a word about what goes on, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Controller(ThreadingHTTPServer):
    """Never done. `asked` is set when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"id": "7", "message": "begun"})

    def do_GET(self) -> None:
        self._answer({"state": "running", "progress": "1 of 9"})
        assert isinstance(self.server, Controller)
        self.server.asked.set()

    def _answer(self, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def controller() -> Iterator[Controller]:
    with Controller() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """A shell starts what it runs in the background with this signal ignored, which children
    inherit; of a handler they get the default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["evaluate", "v1", "--eval-set", "digits"], "it goes on in the controller"),
        (["drill", "run", "kill-stable"], "the drill goes on and restores what it breaks"),
    ],
)
def test_ctrl_c_says_that_what_was_begun_goes_on(
    controller: Controller, arguments: list[str], word: str
) -> None:
    url = f"http://127.0.0.1:{controller.server_port}"
    command = [sys.executable, "-m", "controller.cli", *arguments]
    environment = os.environ | {"ASR_ROLLOUT_URL": url}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert controller.asked.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, word in said) == (1, True), said
    assert "Traceback" not in said


def test_ctrl_c_during_the_imports_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")  # what Python does, just then
    script = "from controller.entry import main; main()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "")
