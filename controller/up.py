"""`rollout up` and `down`: the controller's process, its supervisor, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import httpx
import uvicorn
from fastapi import FastAPI

from controller.adapters.files import last_lines
from controller.adapters.state_folder import ControllerAddress, StateFolder
from controller.api.app import create_app
from controller.api.service import Service, build_service
from controller.coming_up import not_ready
from controller.core.errors import Refused
from controller.settings import RuntimeChoice, Settings

log = logging.getLogger(__name__)
_READY_SECONDS = 180.0


def serve(settings: Settings) -> None:
    """Run the controller until Ctrl-C, SIGTERM or `rollout down`; then stop what it runs.

    Raises Refused before anything was started."""
    folder = StateFolder(settings.state_dir)
    folder.create()
    folder.lock()
    server = Server(settings)
    try:
        app = _checked_app(settings, folder, server)
    except Refused:
        folder.take_back()
        raise
    runtime = app.state.service.parts.runtime.name
    fleet_path = str(settings.fleet_path.absolute())
    folder.write_address(ControllerAddress(api_url(settings), os.getpid(), fleet_path, runtime))
    server.run(app)
    folder.forget_address()
    folder.unlock()


def _checked_app(settings: Settings, folder: StateFolder, server: Server) -> FastAPI:
    """Raises Refused."""
    check_port_is_free(settings.host, settings.port, "the API", "--port")
    app = create_app(settings, server.finish)
    check_same_runtime(folder, app.state.service.parts.runtime.name)
    check_router_port(app.state.service)
    return app


def check_same_runtime(folder: StateFolder, runtime: str) -> None:
    """Raise Refused where a killed controller left nodes in the other runtime: they would
    never be found, and never stop."""
    left = folder.address()
    if left is not None and left.runtime != runtime:
        raise Refused(
            f"the last controller of {folder.path} was killed in the {left.runtime} runtime, and "
            f"its nodes may still run; nothing was started. `rollout down` stops them, or go on "
            f"with --runtime {left.runtime}"
        )


def check_router_port(service: Service) -> None:
    """Raise Refused where another program has the router's port; our own router may run."""
    router, api = service.fleet.router, service.settings
    if router.port == api.port:
        raise Refused(
            f"router.port in fleet.yaml and the API's --port are both {api.port}; nothing was "
            f"started. Choose another for one of them"
        )
    if not service.parts.launcher.is_running():
        check_port_is_free(router.host, router.port, "the router", "router.port in fleet.yaml")


class Server:
    """uvicorn, which handles Ctrl-C and SIGTERM; `finish` ends it likewise."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: uvicorn.Server | None = None

    def finish(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    def run(self, app: object) -> None:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]  # any ASGI application
            host=self._settings.host,
            port=self._settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=3,
        )
        self._server = _QuietServer(config)
        try:
            self._server.run()
        except SystemExit as error:  # uvicorn's own statuses mean other things here
            raise Refused("the controller could not start; see the lines above") from error
        if not self._server.started:
            raise Refused("the controller could not start; see the lines above")


class _QuietServer(uvicorn.Server):
    """Ends on a signal like on any other word to end: with exit status 0. uvicorn's own raises
    the signal again afterwards, which would look like a crash to a supervisor, and cuts the
    clean-up short at a second Ctrl-C, though router and nodes would outlive it."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            log.warning("still stopping router and nodes; it ends by itself")
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def api_url(settings: Settings) -> str:
    host = settings.host if settings.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def check_port_is_free(host: str, port: int, what: str, option: str) -> None:
    """Raise Refused where somebody listens on the port already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"{what} cannot listen on {host}:{port} ({error.strerror}); nothing was started. "
                f"Choose another port with {option}"
            ) from error


def detach(arguments: list[str], state_dir: Path) -> str:
    """Run `rollout up` under a supervisor in the background; its URL once it is ready.

    Raises Refused with the last log lines where it does not become ready."""
    folder = StateFolder(state_dir)
    folder.create()
    if folder.is_locked():
        raise Refused(f"a controller already runs on {folder.path}; nothing was started")
    log_path = folder.path / "controller.log"
    with log_path.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "controller.supervisor", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return wait_until_ready(folder, child, log_path)


def wait_until_ready(
    folder: StateFolder,
    child: subprocess.Popen[bytes],
    log_path: Path,
    timeout_seconds: float = _READY_SECONDS,
) -> str:
    """The URL of the controller that `child` runs; raises Refused with the reason in time."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Refused(f"the controller ended at once. {last_lines(log_path)}")
        address = folder.address()
        if address is not None and folder.is_locked() and _answers(address.url):
            return address.url
        time.sleep(0.2)
    refusal = (
        f"the controller is not ready after {timeout_seconds:g} s. Not waited for any longer: it "
        f"goes on in the background; `rollout status` tells when it is, {log_path} what it does, "
        f"`rollout down` stops it"
    )
    raise Refused("\n  ".join([refusal, *not_ready(folder.path)]))


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def clean_up_alone(state_dir: Path) -> str:
    """`rollout down` without a controller: stop the router and nodes that a dead one left."""
    folder = StateFolder(state_dir)
    address = folder.address()
    if not folder.path.is_dir() or address is None:
        raise Refused(f"{folder.path} has no controller that runs or died; nothing to stop")
    folder.lock()
    try:
        runtime: RuntimeChoice = "docker" if address.runtime == "docker" else "process"
        settings = Settings(Path(address.fleet_path), folder.path, runtime)
        asyncio.run(build_service(settings, lambda: None).tear_down())
        folder.forget_address()
    finally:
        folder.unlock()
    return "the controller was dead already; its router and nodes are stopped"


def wait_until_gone(state_dir: Path, timeout_seconds: float) -> bool:
    """Whether the folder's controller ended in time."""
    folder = StateFolder(state_dir)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if not folder.is_locked():
            return True
        time.sleep(0.1)
    return False
