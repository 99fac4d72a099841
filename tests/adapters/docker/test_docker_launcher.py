"""DockerLauncher against a real engine: nginx in its container, reached from this host."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.ports import free_port
from controller.adapters.docker.settings import DockerSettings
from controller.adapters.nginx.docker_launcher import DockerLauncher
from controller.core.errors import RouterUnavailable

pytestmark = pytest.mark.docker

_CONFIGURATION = """
pid nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen {port};
        location / {{ return 200 "{answer}"; }}
        location = /upload {{ proxy_pass http://unix:control.sock:/; }}
    }}
    server {{ listen unix:control.sock; return 200 "control"; }}
}}
"""

# In the container, as nginx's own user: the master first, which would start workers anew.
_KILL_NGINX = """
import os, signal
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if file.read().startswith(b"nginx: "):
            os.kill(pid, signal.SIGKILL)
"""

_ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) as connection:
    connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    sys.stdout.write(connection.makefile("rb").read().decode())
"""

LauncherMaker = Callable[[], DockerLauncher]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def a_launcher(a_service: str, tmp_path: Path, port: int) -> Iterator[LauncherMaker]:
    made: list[DockerLauncher] = []

    def make() -> DockerLauncher:
        settings = DockerSettings(service=a_service, state_dir=tmp_path)
        made.append(DockerLauncher(settings, tmp_path / "router", "127.0.0.1", port))
        return made[-1]

    yield make
    for launcher in made:
        launcher.close()


@pytest.fixture
def launcher(a_launcher: LauncherMaker, tmp_path: Path, port: int) -> DockerLauncher:
    (tmp_path / "router").mkdir()
    write_configuration(tmp_path, port, "first")
    return a_launcher()


def write_configuration(tmp_path: Path, port: int, answer: str) -> None:
    text = _CONFIGURATION.format(port=port, answer=answer)
    (tmp_path / "router/nginx.conf").write_text(text)


def ask(port: int, expected: str) -> bool:
    """Whether the answer becomes `expected` within 5 s."""
    for _ in range(100):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/").text == expected:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    return False


def ask_control(tmp_path: Path) -> str:
    transport = httpx.HTTPTransport(uds=str(tmp_path / "router/control.sock"))
    with httpx.Client(transport=transport) as http:
        return http.get("http://control/").text


def test_it_serves_reloads_and_stops(launcher: DockerLauncher, tmp_path: Path, port: int) -> None:
    assert not launcher.is_running()
    launcher.start()
    assert ask(port, "first")
    assert ask_control(tmp_path) == "control"
    write_configuration(tmp_path, port, "second")
    launcher.reload()
    assert ask(port, "second")
    launcher.stop(grace_seconds=5)
    assert not launcher.is_running()
    assert not (tmp_path / "router/control.sock").exists()
    launcher.stop(grace_seconds=5)  # once more changes nothing


def test_the_next_controller_adopts_the_running_one(
    launcher: DockerLauncher, a_launcher: LauncherMaker, port: int
) -> None:
    launcher.start()
    assert ask(port, "first")
    adopter = a_launcher()
    assert adopter.is_running()
    adopter.start()
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "first"


@pytest.mark.parametrize("running", [False, True], ids=["before", "after the start"])
def test_a_wrong_configuration_is_refused_in_nginx_own_words(
    launcher: DockerLauncher, tmp_path: Path, running: bool
) -> None:
    if running:
        launcher.start()
    (tmp_path / "router/candidate.conf").write_text("events {} nonsense;")
    candidate = launcher.config_root / "candidate.conf"
    assert 'unknown directive "nonsense"' in (launcher.test(candidate) or "")
    assert launcher.test(launcher.config_root / "nginx.conf") is None


def test_a_killed_router_starts_again_although_its_socket_is_left(
    launcher: DockerLauncher, tmp_path: Path, port: int, a_service: str, client: Any
) -> None:
    launcher.start()
    assert ask(port, "first")
    client.containers.get(f"asr-{a_service}-router").kill()
    assert not launcher.is_running()
    assert (tmp_path / "router/control.sock").exists()
    launcher.start()
    assert ask(port, "first")


def test_who_comes_while_a_killed_nginx_is_started_again_waits_and_is_answered(
    launcher: DockerLauncher, port: int, a_service: str, client: Any
) -> None:
    launcher.start()
    assert ask(port, "first")
    container = client.containers.get(f"asr-{a_service}-router")
    for _ in range(3):
        status, output = container.exec_run(["python3", "-c", _KILL_NGINX + _ASK, str(port)])
        assert (status, output[-5:]) == (0, b"first"), output
    assert ask(port, "first")
    began = container.attrs["State"]["StartedAt"]
    container.reload()
    assert container.attrs["State"]["StartedAt"] == began


def test_docker_has_a_crashed_or_restarted_container_back(
    launcher: DockerLauncher, port: int, a_service: str, client: Any
) -> None:
    launcher.start()
    assert ask(port, "first")
    container = client.containers.get(f"asr-{a_service}-router")
    container.restart()
    assert ask(port, "first")
    container.exec_run(["python3", "-c", "import os; os.kill(1, 15)"])
    for _ in range(100):
        container.reload()
        if container.attrs["RestartCount"]:
            break
        time.sleep(0.1)
    assert container.attrs["RestartCount"] == 1
    assert ask(port, "first")


def test_a_configuration_that_nginx_refuses_ends_the_container_in_nginx_own_words(
    launcher: DockerLauncher, tmp_path: Path, a_service: str, client: Any
) -> None:
    (tmp_path / "router/nginx.conf").write_text("nonsense;")
    launcher.start()
    container = client.containers.get(f"asr-{a_service}-router")
    for _ in range(100):
        if b'unknown directive "nonsense"' in container.logs():
            break
        time.sleep(0.1)
    assert b'unknown directive "nonsense"' in container.logs()


def test_another_nginx_takes_its_place_while_its_requests_still_end(
    launcher: DockerLauncher, tmp_path: Path, port: int
) -> None:
    launcher.start()
    assert ask(port, "first")
    with socket.create_connection(("127.0.0.1", port), 60) as upload:
        upload.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        upload.sendall(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert upload.recv(4096).startswith(b"HTTP/1.1 100 ")
        write_configuration(tmp_path, port, "second")
        launcher.replace(grace_seconds=5)
        assert ask(port, "second")
        upload.sendall(b"body")
        assert b"control" in upload.makefile("rb").read()


def test_one_that_hangs_is_replaced_at_once(
    launcher: DockerLauncher, tmp_path: Path, port: int, a_service: str, client: Any
) -> None:
    launcher.start()
    assert ask(port, "first")
    container = client.containers.get(f"asr-{a_service}-router")
    container.exec_run(["python3", "-c", _KILL_NGINX.replace("SIGKILL", "SIGSTOP")])
    write_configuration(tmp_path, port, "second")
    launcher.replace(grace_seconds=0)
    assert ask(port, "second")


def test_moved_logs_are_opened_again(launcher: DockerLauncher, tmp_path: Path, port: int) -> None:
    launcher.start()
    assert ask(port, "first")
    log = tmp_path / "router/access.log"
    log.rename(log.with_suffix(".1"))
    launcher.reopen_logs()
    for _ in range(100):  # the workers open it later than the master makes it
        assert ask(port, "first")
        if log.exists() and log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("nothing was written into the new log")


def test_a_taken_port_is_said_and_leaves_nothing(launcher: DockerLauncher, port: int) -> None:
    holder = socket.create_server(("127.0.0.1", port))
    with holder, pytest.raises(RouterUnavailable, match=f"{port}.*in use"):
        launcher.start()
    assert not launcher.is_running()
    launcher.start()
    assert ask(port, "first")


def test_it_is_hardened_and_notices_silent_cuts(
    launcher: DockerLauncher, a_service: str, client: Any
) -> None:
    launcher.start()
    host = client.containers.get(f"asr-{a_service}-router").attrs["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["RestartPolicy"]["Name"] == "always"
    assert host["Sysctls"] == {
        "net.ipv4.tcp_keepalive_time": "5",
        "net.ipv4.tcp_keepalive_intvl": "3",
        "net.ipv4.tcp_keepalive_probes": "3",
        "net.ipv4.tcp_retries2": "5",
    }
    (published,) = host["PortBindings"].values()
    assert published[0]["HostIp"] == "127.0.0.1"


def test_the_version_and_modules_are_nginx_own(launcher: DockerLauncher) -> None:
    assert "nginx version: nginx/1." in launcher.build_info()
    assert "njs" in launcher.build_info()


def test_reloading_what_does_not_run_is_an_error(launcher: DockerLauncher) -> None:
    with pytest.raises(RouterUnavailable, match="does not run"):
        launcher.reload()
