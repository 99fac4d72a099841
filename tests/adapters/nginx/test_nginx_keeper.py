"""What runs nginx in the router's container, here without one, and of no more files than the image
has of ours."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from router_bench import nginx_of

from benchmarks.faults_injected.hands import end, is_dead
from benchmarks.ports import free_port
from controller.adapters.nginx import held_port, keeper
from controller.adapters.nginx.leaving import is_leaving
from controller.adapters.nginx.process_launcher import packaged_nginx

CONFIGURATION = """
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{}}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{answer}"; }}
        location = /upload {{ proxy_pass http://127.0.0.1:{node}; }}
    }}
    server {{ listen unix:control.sock; return 200 "control"; }}
}}
"""
# It begins when nobody holds it back, and writes down that it did.
NGINX = """
import os, time
while os.path.exists("hold"):
    time.sleep(0.05)
with open("starts", "a") as starts:
    starts.write("begun\\n")
os.execv({binary!r}, ["nginx", "-p", ".", "-c", os.path.abspath("nginx.conf"), "-g", "daemon off;"])
"""
QUICK_DEATH = """
import os, signal
with open("starts", "a") as starts:
    starts.write("begun\\n")
os.kill(os.getpid(), signal.SIGKILL)
"""


class Kept:
    """A keeper with its nginx in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.node = socket.create_server(("127.0.0.1", 0))
        self._app = folder / "app"
        self.run_dir = folder / "router"
        self.run_dir.mkdir()
        self.configure("first")
        self.nginx_script.write_text(NGINX.format(binary=packaged_nginx()))
        package = self._app / "controller/adapters/nginx"
        package.mkdir(parents=True)
        for module in (keeper, held_port):
            shutil.copy(str(module.__file__), package)
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, answer: str) -> None:
        node = self.node.getsockname()[1]
        text = CONFIGURATION.format(port=self.port, node=node, answer=answer)
        (self.run_dir / "nginx.conf").write_text(text)

    def start(self) -> None:
        python = [sys.executable, "-S"]
        arguments = ["127.0.0.1", str(self.port), "control.sock", *python, str(self.nginx_script)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*python, "-m", "controller.adapters.nginx.keeper", *arguments],
                cwd=self.run_dir,
                env={**os.environ, "PYTHONPATH": str(self._app)},
                stderr=log,
            )
        until(lambda: not self.is_refused() or self.has_ended())

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def is_refused(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) != 0

    def masters(self) -> list[psutil.Process]:
        """What was started and has not ended: nginx, or what becomes it."""
        assert self.process is not None
        return [p for p in psutil.Process(self.process.pid).children() if not is_dead(p)]

    @property
    def nginx_script(self) -> Path:
        return self.run_dir / "nginx.py"

    @property
    def log(self) -> Path:
        return self.run_dir / "log"

    def starts(self) -> int:
        return len((self.run_dir / "starts").read_text().splitlines())

    def tell(self, sign: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(sign)

    def status(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def nginx(self) -> psutil.Process:
        (master,) = self.masters()
        return master

    def family(self) -> list[psutil.Process]:
        master = self.nginx()
        return [master, *master.children()]

    def ask(self, path: str = "/", more: str = "") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), 60)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n"
        client.sendall(head.encode())
        return client

    def answer(self) -> str:
        return rest_of(self.ask())

    def begin_upload(self) -> socket.socket:
        """A request that is in flight until its body is sent."""
        client = self.ask("/upload", "Content-Length: 4\r\nExpect: 100-continue\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        return client

    def end_upload(self, client: socket.socket) -> str:
        client.sendall(b"body")
        connection, _ = self.node.accept()
        with connection:
            assert connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nheard")
        return rest_of(client)


def rest_of(client: socket.socket) -> str:
    with closing(client), client.makefile("rb") as stream:
        return stream.read().decode().rpartition("\r\n\r\n")[2]


def until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    it = Kept(tmp_path)
    with it.node:
        yield it
    if it.process is not None:
        (it.run_dir / "hold").unlink(missing_ok=True)
        it.process.terminate()
        it.process.wait(60)
    until(lambda: nginx_of(it.run_dir) == [])


@pytest.fixture
def serving(kept: Kept) -> Kept:
    kept.start()
    assert kept.answer() == "first"
    return kept


def test_who_comes_while_nginx_is_away_waits_and_is_answered(serving: Kept) -> None:
    hold = serving.run_dir / "hold"
    hold.touch()
    killed = serving.family()
    end(killed)
    until(lambda: all(map(is_dead, killed)))
    waiting = serving.ask()
    hold.unlink()
    assert rest_of(waiting) == "first"
    assert serving.starts() == 2


def test_the_socket_that_a_killed_one_left_is_not_in_the_way_of_the_next(serving: Kept) -> None:
    end(serving.family())
    until(lambda: serving.starts() == 2)
    assert serving.answer() == "first"


def test_workers_that_lost_their_master_end_what_is_in_flight(serving: Kept) -> None:
    upload = serving.begin_upload()
    serving.configure("second")
    master, worker = serving.family()
    master.kill()
    until(lambda: is_leaving(worker))
    assert serving.answer() == "second"
    assert serving.end_upload(upload) == "heard"


@pytest.mark.parametrize("is_first", [True, False], ids=["at first", "after one that was killed"])
def test_what_nginx_refuses_ends_it_in_nginx_own_words(kept: Kept, is_first: bool) -> None:
    if not is_first:
        kept.start()
        assert kept.answer() == "first"
    (kept.run_dir / "nginx.conf").write_text("nonsense;")
    if is_first:
        kept.start()
    else:
        kept.nginx().kill()
    assert kept.status() == 1
    assert 'unknown directive "nonsense"' in kept.log.read_text()


def test_what_dies_at_once_again_and_again_is_left_to_docker(kept: Kept) -> None:
    kept.nginx_script.write_text(QUICK_DEATH)
    kept.start()
    assert kept.status() == 128 + signal.SIGKILL
    assert kept.starts() >= 5  # more on a machine where one of them took more than a second


def test_told_to_quit_it_ends_what_is_in_flight_and_refuses_the_rest(serving: Kept) -> None:
    upload = serving.begin_upload()
    serving.tell(signal.SIGQUIT)
    until(serving.is_refused)
    assert serving.end_upload(upload) == "heard"
    assert serving.status() == 0


def test_it_hands_on_what_loads_a_configuration_and_what_opens_the_logs(serving: Kept) -> None:
    serving.configure("second")
    serving.tell(signal.SIGHUP)
    until(lambda: serving.answer() == "second")
    log = serving.run_dir / "access.log"
    log.rename(log.with_suffix(".1"))
    serving.tell(signal.SIGUSR1)
    until(lambda: serving.answer() == "second" and log.exists() and log.read_text())
    assert serving.starts() == 1


def test_a_signal_does_not_end_an_nginx_that_still_starts(kept: Kept) -> None:
    (kept.run_dir / "hold").touch()
    kept.start()
    until(kept.masters)
    kept.tell(signal.SIGHUP)
    until(lambda: is_pending(kept.nginx().pid, signal.SIGHUP))
    (kept.run_dir / "hold").unlink()
    assert kept.answer() == "first"
    assert kept.starts() == 1


def is_pending(pid: int, sign: signal.Signals) -> bool:
    text = Path(f"/proc/{pid}/status").read_text()
    (pending,) = [line.split()[1] for line in text.splitlines() if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) & 1 << sign - 1)


def test_another_nginx_takes_its_place_while_its_requests_still_end(serving: Kept) -> None:
    upload = serving.begin_upload()
    serving.configure("second")
    serving.tell(signal.SIGUSR2)
    until(lambda: serving.answer() == "second")
    assert serving.end_upload(upload) == "heard"
    assert serving.starts() == 2


def test_told_to_quit_it_waits_for_the_one_that_was_replaced(serving: Kept) -> None:
    upload = serving.begin_upload()
    serving.configure("second")
    serving.tell(signal.SIGUSR2)
    until(lambda: serving.answer() == "second")
    serving.tell(signal.SIGQUIT)
    until(serving.is_refused)
    until(lambda: len(serving.masters()) == 1)
    assert serving.end_upload(upload) == "heard"
    assert serving.status() == 0
