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
    server {{ listen {port}; return 200 "{answer}"; }}
    server {{ listen unix:control.sock; return 200 "control"; }}
}}
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
